/**
 * Matrices in 4 or 8 bits: blocks of whole numbers along the inner axis, each block with a scale of its own
 * (w = scale·(q − zero), zero 8 or 128). Two ops: back to floats, and the product that ONNX Runtime computes on the
 * whole numbers. Knows the layout (that of MatMulNBits), not how numbers are chosen: that is nn/quantise.ts.
 */
import { InkstoneError } from '../../base/errors.ts';
import { define, type OnnxCall, type ReferenceValue, shapeError } from '../operation.ts';
import type { Attributes, Size, Tensor, TensorType } from '../types.ts';
import { product } from './broadcast.ts';
import { cast } from './elementwise.ts';
import { gather } from './indexing.ts';
import { matmul } from './linear.ts';

export type QuantisedBits = 4 | 8;

export interface BlockLayout {
  bits: QuantisedBits;
  /** Numbers of a block: a power of two from 16. The last block of a row may hold fewer; the rest is padding. */
  block: number;
  /** Numbers of a row. */
  inner: number;
}

/** The number that stands for zero. */
export const zeroOf = (bits: QuantisedBits): number => 2 ** (bits - 1);
export const blocksOf = ({ block, inner }: BlockLayout): number => Math.ceil(inner / block);
export const bytesOfBlock = ({ bits, block }: BlockLayout): number => (block * bits) / 8;

type LayoutAttributes = { bits: number; block: number; inner: number };
const layoutOf = ({ bits, block, inner }: LayoutAttributes): BlockLayout => ({
  bits: bits as QuantisedBits,
  block,
  inner,
});

/** `blocks [.., blocks, bytes] u8`, `scales [.., blocks]` → the leading sizes. */
function checkBlocks(op: string, types: readonly TensorType[], from: number, layout: BlockLayout): Size[] {
  const [blocks, scales] = types.slice(from) as [TensorType, TensorType];
  const { bits, block, inner } = layout;
  if ((bits !== 4 && bits !== 8) || block < 16 || !Number.isInteger(Math.log2(block)) || inner < 1)
    throw new InkstoneError(
      'quantisation_invalid',
      `${op}: ${bits} bits in blocks of ${block} are not known`,
      {
        kind: 'usage',
        hint: '4 or 8 bits, blocks of a power of two from 16',
      },
    );
  const lead = scales.shape.slice(0, -1);
  const wanted = [...lead, blocksOf(layout), bytesOfBlock(layout)];
  if (blocks.dtype !== 'u8' || scales.dtype !== 'f32' || scales.shape.at(-1) !== blocksOf(layout))
    shapeError(op, 'blocks must be u8 and scales f32, one a block', types);
  if (blocks.shape.length !== wanted.length || blocks.shape.some((size, i) => size !== wanted[i]))
    shapeError(op, `blocks must be [.., ${blocksOf(layout)}, ${bytesOfBlock(layout)}]`, types);
  return lead;
}

/** The float64 values, row after row. */
function valuesOf(blocks: ReferenceValue, scales: ReferenceValue, layout: BlockLayout): Float64Array {
  const { bits, block, inner } = layout;
  const count = blocksOf(layout);
  const bytes = bytesOfBlock(layout);
  const zero = zeroOf(bits);
  const rows = product(scales.shape.slice(0, -1));
  const values = new Float64Array(rows * inner);
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < inner; i++) {
      const at = r * count + Math.floor(i / block);
      const place = i % block;
      const byte = blocks.data[at * bytes + Math.floor((place * bits) / 8)] as number;
      const whole = bits === 8 ? byte : place % 2 === 0 ? byte & 15 : byte >> 4;
      values[r * inner + i] = (scales.data[at] as number) * (whole - zero);
    }
  }
  return values;
}

/** The values in ONNX's standard ops. */
function dequantiseOnnx(
  { emit, integers, scalar, shape }: Pick<OnnxCall<Attributes>, 'emit' | 'integers' | 'scalar' | 'shape'>,
  [blocks, scales]: readonly [string, string],
  lead: readonly Size[],
  layout: BlockLayout,
): string {
  const { bits, block, inner } = layout;
  const padded = blocksOf(layout) * block;
  let whole = blocks;
  if (bits === 4) {
    const last = integers([-1]);
    const low = emit('BitwiseAnd', [blocks, scalar(15, 'u8')]);
    const high = emit('BitShift', [blocks, scalar(4, 'u8')], { direction: 'RIGHT' });
    const pairs = emit('Concat', [emit('Unsqueeze', [low, last]), emit('Unsqueeze', [high, last])], {
      axis: -1,
    });
    whole = emit('Reshape', [pairs, shape([...lead, blocksOf(layout), block])]);
  }
  const centred = emit('Sub', [emit('Cast', [whole], { to: 1 }), scalar(zeroOf(bits), 'f32')]);
  const scaled = emit('Mul', [centred, emit('Unsqueeze', [scales, integers([-1])])]);
  const rows = emit('Reshape', [scaled, shape([...lead, padded])]);
  return padded === inner
    ? rows
    : emit('Slice', [rows, integers([0]), integers([inner]), integers([lead.length])]);
}

const dequantiseCall = define<LayoutAttributes>({
  name: 'dequantise',
  infer: (types, attributes) => {
    const lead = checkBlocks('dequantise', types, 0, layoutOf(attributes));
    return [{ dtype: 'f32', shape: [...lead, attributes.inner] }];
  },
  // The numbers are data: nothing learns them.
  vjp: null,
  onnx: (call) =>
    dequantiseOnnx(
      call,
      call.inputs as readonly [string, string],
      (call.types[1] as TensorType).shape.slice(0, -1),
      layoutOf(call.attributes),
    ),
  reference: ({ inputs, attributes }) => [
    valuesOf(inputs[0] as ReferenceValue, inputs[1] as ReferenceValue, layoutOf(attributes)),
  ],
});

/** `blocks [.., blocks, bytes] u8`, `scales [.., blocks] f32` → `[.., inner] f32`. */
export function dequantise(blocks: Tensor, scales: Tensor, layout: BlockLayout): Tensor {
  return dequantiseCall([blocks, scales], { ...layout })[0] as Tensor;
}

/** Rows of a quantised table, `[.., inner] f32`: only those rows are turned into floats. */
export function gatherQuantised(
  blocks: Tensor,
  scales: Tensor,
  indices: Tensor,
  layout: BlockLayout,
): Tensor {
  return dequantise(gather(blocks, indices), gather(scales, indices), layout);
}

const quantisedMatmulCall = define<LayoutAttributes & { exact: boolean }>({
  name: 'quantisedMatmul',
  infer: (types, attributes) => {
    const layout = layoutOf(attributes);
    const lead = checkBlocks('quantisedMatmul', types, 1, layout);
    const [x] = types as readonly [TensorType];
    if (lead.length !== 1 || typeof lead[0] !== 'number')
      shapeError('quantisedMatmul', 'the matrix must have one row an output', types);
    if (!x.dtype.startsWith('f') || x.shape.length < 2 || x.shape.at(-1) !== layout.inner)
      shapeError('quantisedMatmul', `the left side must be floats [.., rows, ${layout.inner}]`, types);
    return [{ dtype: x.dtype, shape: [...x.shape.slice(0, -1), lead[0] as number] }];
  },
  vjp: ({ inputs: [, blocks, scales], cotangents: [g], attributes }) => [
    matmul(
      g as Tensor,
      cast(dequantise(blocks as Tensor, scales as Tensor, layoutOf(attributes)), (g as Tensor).dtype),
    ),
    undefined,
    undefined,
  ],
  onnx: (call) => {
    const [x, blocks, scales] = call.inputs as readonly [string, string, string];
    const layout = layoutOf(call.attributes);
    const outputs = (call.types[2] as TensorType).shape[0] as number;
    if (call.portable || outputs === 0) {
      const matrix = dequantiseOnnx(call, [blocks, scales], [outputs], layout);
      return call.emit('MatMul', [x, call.emit('Transpose', [matrix], { perm: [1, 0] })]);
    }
    return call.emit(
      'MatMulNBits',
      [x, blocks, scales],
      {
        K: layout.inner,
        N: outputs,
        bits: layout.bits,
        block_size: layout.block,
        accuracy_level: call.attributes.exact ? 1 : 4,
      },
      'com.microsoft',
    );
  },
  reference: ({ inputs, attributes, outputs: [y] }) => {
    const [x, blocks, scales] = inputs as readonly [ReferenceValue, ReferenceValue, ReferenceValue];
    const layout = layoutOf(attributes);
    const matrix = valuesOf(blocks, scales, layout);
    const { inner } = layout;
    const columns = scales.shape[0] as number;
    const result = new Float64Array(product((y as { shape: readonly number[] }).shape));
    for (let row = 0; row * columns < result.length; row++) {
      for (let j = 0; j < columns; j++) {
        let total = 0;
        for (let p = 0; p < inner; p++)
          total += (x.data[row * inner + p] as number) * (matrix[j * inner + p] as number);
        result[row * columns + j] = total;
      }
    }
    return [result];
  },
});

/**
 * `x [.., rows, inner]` times the transpose of a quantised matrix `[outputs, inner]` → `[.., rows, outputs]`.
 * @param options `exact` keeps x in floats; otherwise ONNX Runtime rounds each block of each row of x to 8 bits, too
 */
export function quantisedMatmul(
  x: Tensor,
  blocks: Tensor,
  scales: Tensor,
  layout: BlockLayout,
  { exact = false }: { exact?: boolean } = {},
): Tensor {
  return quantisedMatmulCall([x, blocks, scales], { ...layout, exact })[0] as Tensor;
}
