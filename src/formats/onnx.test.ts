/** ONNX files: written, read back, read by ONNX Runtime, damaged. */
import fc from 'fast-check';
import * as ort from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { InkstoneError } from '../base/errors.ts';
import { BYTES, type DType, sizeOf } from '../base/tensor.ts';
import { type OnnxAttribute, type OnnxGraph, type OnnxModel, readOnnx, writeOnnx } from './onnx.ts';
import { ProtoWriter } from './protobuf.ts';

const f32 = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

/** y = x·w + b, then the larger half of a condition: initialisers, an open size, a graph within a graph. */
const small: OnnxModel = {
  irVersion: 10,
  producerName: 'inkstone',
  producerVersion: '0.1.0',
  doc: 'a test — 测试',
  opsets: [
    { domain: '', version: 21 },
    { domain: 'com.microsoft', version: 1 },
  ],
  metadata: { family: 'text', note: '' },
  graph: {
    name: 'main',
    doc: 'the graph',
    inputs: [
      { name: 'x', dtype: 'f32', shape: ['batch', 2] },
      { name: 'positive', dtype: 'bool', shape: [] },
    ],
    outputs: [{ name: 'y', dtype: 'f32', shape: ['batch', 2], doc: 'the result' }],
    values: [{ name: 'xw', dtype: 'f32', shape: ['batch', 2] }],
    initializers: [
      { name: 'w', dtype: 'f32', shape: [2, 2], data: f32(1, 2, 3, 4) },
      { name: 'b', dtype: 'f32', shape: [2], data: f32(0.5, -0.5) },
    ],
    nodes: [
      { opType: 'MatMul', name: 'product', inputs: ['x', 'w'], outputs: ['xw'], attributes: {} },
      { opType: 'Add', inputs: ['xw', 'b'], outputs: ['sum'], attributes: {} },
      {
        opType: 'If',
        domain: '',
        inputs: ['positive'],
        outputs: ['y'],
        attributes: { then_branch: { graph: branch('Identity') }, else_branch: { graph: branch('Neg') } },
      },
    ],
  },
};

function branch(opType: string): OnnxGraph {
  return {
    name: opType,
    inputs: [],
    outputs: [{ name: `${opType}_out`, dtype: 'f32', shape: ['batch', 2] }],
    initializers: [],
    nodes: [{ opType, inputs: ['sum'], outputs: [`${opType}_out`], attributes: {} }],
  };
}

describe('round trip', () => {
  test('everything a model has', () => {
    expect(readOnnx(writeOnnx(small))).toEqual(small);
  });

  test('ONNX Runtime reads it and gets the numbers', async () => {
    const session = await ort.InferenceSession.create(writeOnnx(small), { logSeverityLevel: 3 });
    const x = new ort.Tensor('float32', [1, 1, 2, 0], [2, 2]);
    const run = async (positive: boolean): Promise<number[]> => {
      const { y } = await session.run({ x, positive: new ort.Tensor('bool', [positive], []) });
      return [...((y as ort.Tensor).data as Float32Array)];
    };
    expect(await run(true)).toEqual([4.5, 5.5, 2.5, 3.5]);
    expect(await run(false)).toEqual([-4.5, -5.5, -2.5, -3.5]);
    await session.release();
  });

  test('any model', () => {
    fc.assert(
      fc.property(anyGraph(2), fc.dictionary(fc.string(), fc.string()), (graph, metadata) => {
        const model: OnnxModel = {
          irVersion: 8,
          producerName: 'p',
          opsets: [{ domain: '', version: 17 }],
          graph,
          ...(Object.keys(metadata).length > 0 ? { metadata } : {}),
        };
        expect(readOnnx(writeOnnx(model))).toEqual(model);
      }),
      { numRuns: 60 },
    );
  });

  test('the ends of int64 survive as far as a number can hold them', () => {
    const values = [2 ** 63, -(2 ** 63), Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, -1];
    const again = attributeOf(writeOnnx(withAttribute(values)));
    expect(again).toEqual(values);
    // 2^63 stands for INT64_MAX ("to the end" in Slice); wrapped round it would be the least of all.
    expect((again as number[])[0]).toBeGreaterThan(0);
  });

  test('a fraction is no integer', () => {
    expect(() => writeOnnx(withAttribute(0.5))).toThrow(expect.objectContaining({ code: 'not_an_integer' }));
  });
});

function withAttribute(value: OnnxAttribute): OnnxModel {
  const node = { opType: 'X', inputs: [], outputs: ['y'], attributes: { a: value } };
  const graph = { name: 'g', inputs: [], outputs: [], initializers: [], nodes: [node] };
  return { irVersion: 8, producerName: '', opsets: [], graph };
}

function attributeOf(bytes: Uint8Array): OnnxAttribute | undefined {
  return readOnnx(bytes).graph.nodes[0]?.attributes.a;
}

/** A model around one field of GraphProto, as other writers may put it. */
function file(field: number, value: ProtoWriter): Uint8Array {
  return new ProtoWriter().integer(1, 8).message(7, new ProtoWriter().message(field, value)).finish();
}

const tensorFile = (code: number, dims: number[], more: (out: ProtoWriter) => ProtoWriter): Uint8Array => {
  const out = new ProtoWriter();
  for (const dim of dims) out.integer(1, dim);
  return file(5, more(out.integer(2, code).string(8, 't')));
};

describe("other writers' habits", () => {
  const packed = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);
  test.each([
    [
      'int32_data for i32, packed',
      6,
      [2],
      5,
      packed(7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
      new Uint8Array(Int32Array.of(7, -1).buffer),
    ],
    [
      'int32_data for f16 bits',
      10,
      [1],
      5,
      packed(0x80, 0x78),
      new Uint8Array(Uint16Array.of(0x3c00).buffer),
    ],
    ['int32_data for bool', 9, [2], 5, packed(1, 0), packed(1, 0)],
    [
      'int64_data beyond 2^53',
      7,
      [1],
      7,
      packed(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
      new Uint8Array(BigInt64Array.of(2n ** 63n - 1n).buffer),
    ],
    [
      'double_data',
      11,
      [1],
      10,
      new Uint8Array(Float64Array.of(0.1).buffer),
      new Uint8Array(Float64Array.of(0.1).buffer),
    ],
    ['float_data', 1, [2], 4, f32(1, -2), f32(1, -2)],
  ] as const)('%s', (_, code, dims, field, data, wanted) => {
    const bytes = tensorFile(code, [...dims], (out) => out.bytes(field, data));
    expect(readOnnx(bytes).graph.initializers[0]?.data).toEqual(wanted);
  });

  test('two hundred thousand listed floats', () => {
    const data = new Uint8Array(new Float32Array(200_000).fill(1).buffer);
    const bytes = tensorFile(1, [200_000], (out) => out.bytes(4, data));
    expect(readOnnx(bytes).graph.initializers[0]?.data.length).toBe(800_000);
  });

  test('an empty tensor without data; an attribute whose zero value is left out; a value of unknown rank', () => {
    expect(readOnnx(tensorFile(7, [0, 3], (out) => out)).graph.initializers[0]?.data.length).toBe(0);
    const attribute = (type: number): Uint8Array =>
      file(1, new ProtoWriter().message(5, new ProtoWriter().string(1, 'a').integer(20, type)));
    expect(attributeOf(attribute(1))).toEqual({ float: 0 });
    expect(attributeOf(attribute(2))).toBe(0);
    expect(attributeOf(attribute(3))).toBe('');
    expect(attributeOf(attribute(6))).toEqual({ floats: [] });
    const tensorType = new ProtoWriter().message(1, new ProtoWriter().integer(1, 7));
    const info = file(12, new ProtoWriter().string(1, 'y').message(2, tensorType));
    expect(readOnnx(info).graph.outputs).toEqual([{ name: 'y', dtype: 'i64' }]);
  });
});

describe('damage', () => {
  const whole = writeOnnx(small);

  test('a file cut anywhere is told as corrupt, with the place', () => {
    for (let length = 0; length < whole.length; length++) {
      try {
        // Cut between two fields of the model itself it may still be a model: what came last is missing.
        expect(readOnnx(whole.subarray(0, length)).graph).toEqual(small.graph);
      } catch (error) {
        expect(error).toMatchObject({ code: 'onnx_corrupt', kind: 'data' });
        expect((error as InkstoneError).message).toMatch(/ at byte \d+$/);
        expect((error as InkstoneError).details.offset).toBeLessThanOrEqual(length);
      }
    }
  });

  test('any bytes, and any change of a byte, give a model or our error', () => {
    const attempt = (bytes: Uint8Array): void => {
      try {
        readOnnx(bytes);
      } catch (error) {
        if (!InkstoneError.is(error)) throw error;
        expect(error.code).toMatch(/^onnx_(corrupt|unsupported)$/);
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), attempt), { numRuns: 500 });
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = whole.slice();
        bytes[at] = (bytes[at] as number) ^ change;
        attempt(bytes);
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    ['data too short', tensorFile(1, [3], (out) => out.bytes(9, f32(1, 2))), 'onnx_corrupt'],
    ['a negative size', tensorFile(1, [-1, 0], (out) => out), 'onnx_corrupt'],
    [
      'a packed number cut off',
      tensorFile(7, [1], (out) => out.bytes(7, Uint8Array.of(0x80))),
      'onnx_corrupt',
    ],
    ['floats cut off', tensorFile(1, [1], (out) => out.bytes(4, Uint8Array.of(0, 0))), 'onnx_corrupt'],
    ['a number for a name', file(2, new ProtoWriter()).fill(0x10, 4, 5), 'onnx_corrupt'],
    ['an unknown element type', tensorFile(99, [1], (out) => out), 'onnx_unsupported'],
    ['data in another file', tensorFile(1, [1], (out) => out.integer(14, 1)), 'onnx_unsupported'],
    ['an input that is no tensor', file(11, new ProtoWriter().string(1, 'x')), 'onnx_unsupported'],
    ['a sparse tensor', file(15, new ProtoWriter()), 'onnx_unsupported'],
  ])('%s', (_, bytes, code) => {
    expect(() => readOnnx(bytes)).toThrow(expect.objectContaining({ code }));
  });

  test('graphs a thousand deep are refused, not followed', () => {
    let graph = new ProtoWriter();
    for (let i = 0; i < 1000; i++) {
      const attribute = new ProtoWriter().string(1, 'a').message(6, graph);
      graph = new ProtoWriter().message(1, new ProtoWriter().message(5, attribute));
    }
    const bytes = new ProtoWriter().integer(1, 8).message(7, graph).finish();
    expect(() => readOnnx(bytes)).toThrow(expect.objectContaining({ code: 'onnx_corrupt' }));
  });
});

function anyGraph(depth: number): fc.Arbitrary<OnnxGraph> {
  const name = fc.string({ unit: 'grapheme', maxLength: 5 });
  const tensor = fc
    .record({
      name,
      dtype: fc.constantFrom(...(Object.keys(BYTES) as DType[])),
      shape: fc.array(fc.nat(3), { maxLength: 3 }),
    })
    .chain((t) => {
      const length = sizeOf(t.shape) * BYTES[t.dtype];
      return fc.uint8Array({ minLength: length, maxLength: length }).map((data) => ({ ...t, data }));
    });
  const info = fc.record(
    {
      name,
      dtype: fc.constantFrom(...(Object.keys(BYTES) as DType[])),
      shape: fc.array(fc.oneof(fc.nat(), name), { maxLength: 3 }),
    },
    { requiredKeys: ['name', 'dtype'] },
  );
  const float = fc.float({ noNaN: true });
  const attribute: fc.Arbitrary<OnnxAttribute> = fc.oneof(
    fc.maxSafeInteger(),
    name,
    fc.array(fc.maxSafeInteger()),
    fc.record({ float }),
    fc.record({ floats: fc.array(float) }),
    fc.record({ strings: fc.array(name) }),
    fc.record({ tensor }),
    ...(depth > 0 ? [fc.record({ graph: anyGraph(depth - 1) })] : []),
  );
  const node = fc.record(
    {
      opType: name,
      domain: name,
      name,
      inputs: fc.array(name, { maxLength: 3 }),
      outputs: fc.array(name, { maxLength: 3 }),
      attributes: fc.dictionary(name, attribute, { maxKeys: 3 }),
    },
    { requiredKeys: ['opType', 'inputs', 'outputs', 'attributes'] },
  );
  return fc.record({
    name,
    inputs: fc.array(info, { maxLength: 2 }),
    outputs: fc.array(info, { maxLength: 2 }),
    nodes: fc.array(node, { maxLength: 3 }),
    initializers: fc.array(tensor, { maxLength: 2 }),
  });
}
