/**
 * Rewrites a program so that some of its inputs, matrices, come in as blocks of whole numbers. Knows which uses of a
 * matrix have a quantised form; does not choose the numbers (nn/quantise.ts) and knows no model.
 */
import { remake } from './operation.ts';
import { input } from './ops/constant.ts';
import {
  type BlockLayout,
  blocksOf,
  bytesOfBlock,
  gatherQuantised,
  quantisedMatmul,
} from './ops/quantised.ts';
import { programOf } from './trace.ts';
import type { Named, Node, Program, Tensor } from './types.ts';

/** How the rows of a matrix lie: `rows` where a product sums over its last axis, `columns` over its first. */
export type MatrixSide = 'rows' | 'columns';

export const blocksName = (name: string): string => `${name}.blocks`;
export const scalesName = (name: string): string => `${name}.scales`;

type Use = 'matmul' | 'transposed' | 'gather';

function transposes(node: Node): boolean {
  const order = node.attributes.permutation as readonly number[] | undefined;
  return node.op === 'transpose' && order?.length === 2 && order[0] === 1;
}

/** What is done with a tensor; undefined for anything that has no quantised form. */
function useOf(program: Program, tensor: Tensor): Use[] | undefined {
  const uses: Use[] = [];
  if (program.outputs.some((o) => o.tensor === tensor)) return undefined;
  for (const node of program.nodes) {
    for (const [place, given] of node.inputs.entries()) {
      if (given !== tensor) continue;
      if (node.op === 'matmul' && place === 1) uses.push('matmul');
      else if (node.op === 'gather' && place === 0 && node.attributes.axis === 0) uses.push('gather');
      else if (transposes(node)) {
        const turned = node.outputs[0] as Tensor;
        const all = program.nodes.flatMap((n) => n.inputs.map((t, i) => ({ n, t, i })));
        const own = all.filter(({ t }) => t === turned);
        if (own.some(({ n, i }) => n.op !== 'matmul' || i !== 1)) return undefined;
        if (program.outputs.some((o) => o.tensor === turned)) return undefined;
        uses.push('transposed');
      } else return undefined;
    }
  }
  return uses;
}

/** Inputs of all these programs that may be quantised, by name; one that any of them uses otherwise is left out. */
export function quantisableInputs(programs: readonly Program[]): Map<string, MatrixSide> {
  const sides = new Map<string, MatrixSide | undefined>();
  for (const program of programs) {
    for (const { name, tensor } of program.inputs) {
      if (
        tensor.dtype !== 'f32' ||
        tensor.shape.length !== 2 ||
        tensor.shape.some((s) => typeof s === 'string')
      )
        continue;
      const uses = useOf(program, tensor);
      if (uses?.length === 0) continue;
      const columns = uses?.includes('matmul') ?? false;
      const rows = uses?.some((use) => use !== 'matmul') ?? false;
      const side = columns === rows ? undefined : columns ? 'columns' : 'rows';
      sides.set(name, sides.has(name) && sides.get(name) !== side ? undefined : side);
    }
  }
  return new Map([...sides].filter((entry): entry is [string, MatrixSide] => entry[1] !== undefined));
}

/**
 * The program with `NAME.blocks` `[rows, blocks, bytes] u8` and `NAME.scales` `[rows, blocks] f32` in place of each
 * named input. @param layouts of inputs that `quantisableInputs` gave
 */
export function quantiseProgram(
  program: Program,
  layouts: ReadonlyMap<string, BlockLayout>,
  options: { exact?: boolean } = {},
): Program {
  const made = new Map<Tensor, Tensor>();
  const packed = new Map<Tensor, { blocks: Tensor; scales: Tensor; layout: BlockLayout }>();
  const inputs = program.inputs.flatMap(({ name, tensor }): Named[] => {
    const layout = layouts.get(name);
    if (layout === undefined) {
      const fresh = input(name, tensor);
      made.set(tensor, fresh);
      return [{ name, tensor: fresh }];
    }
    const sizes = tensor.shape as readonly [number, number];
    const rows = (sizes[0] * sizes[1]) / layout.inner;
    const count = blocksOf(layout);
    const blocks = input(blocksName(name), { dtype: 'u8', shape: [rows, count, bytesOfBlock(layout)] });
    const scales = input(scalesName(name), { dtype: 'f32', shape: [rows, count] });
    packed.set(tensor, { blocks, scales, layout });
    return [
      { name: blocksName(name), tensor: blocks },
      { name: scalesName(name), tensor: scales },
    ];
  });
  /** The quantised matrix that a product's right side is, seen through its transposition. */
  const matrixOf = (tensor: Tensor | undefined) =>
    tensor === undefined
      ? undefined
      : (packed.get(tensor) ??
        (transposes(tensor.node) ? packed.get(tensor.node.inputs[0] as Tensor) : undefined));
  for (const node of program.nodes) {
    if (node.op === 'input' || (transposes(node) && packed.has(node.inputs[0] as Tensor))) continue;
    const [first, second] = node.inputs;
    const matrix = node.op === 'matmul' ? matrixOf(second) : undefined;
    const table = node.op === 'gather' ? packed.get(first as Tensor) : undefined;
    const now = (tensor: Tensor | undefined): Tensor => made.get(tensor as Tensor) as Tensor;
    const outputs =
      matrix !== undefined
        ? [quantisedMatmul(now(first), matrix.blocks, matrix.scales, matrix.layout, options)]
        : table !== undefined
          ? [gatherQuantised(table.blocks, table.scales, now(second), table.layout)]
          : remake(node, node.inputs.map(now));
    node.outputs.forEach((tensor, i) => {
      made.set(tensor, outputs[i] as Tensor);
    });
  }
  return programOf(
    program.name,
    inputs,
    program.outputs.map(({ name, tensor }) => ({ name, tensor: made.get(tensor) as Tensor })),
  );
}
