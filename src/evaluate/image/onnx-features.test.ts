import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeTemporaryFolder, removeFile, writeFile } from '../../base/host.ts';
import { type OnnxModel, type OnnxNode, type OnnxValueInfo, writeOnnx } from '../../formats/onnx.ts';
import type { Backend } from '../../runtime/contract.ts';
import { createBackend } from '../../runtime/index.ts';
import type { PictureBytes } from './features.ts';
import { onnxFeatures } from './onnx-features.ts';

let backend: Backend;
let folder = '';
beforeAll(async () => {
  backend = await createBackend('cpu', { threads: 1, inline: true });
  folder = await makeTemporaryFolder('onnx-features');
});
afterAll(async () => {
  await backend.close();
  await removeFile(folder);
});

const floats = (values: readonly number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

const node = (opType: string, inputs: string[], outputs: string[], attributes = {}): OnnxNode => ({
  ...{ opType, inputs, outputs, attributes },
});

const INPUT: OnnxValueInfo = { name: 'pictures', dtype: 'f32', shape: ['batch', 3, 8, 8] };
const POOLED: OnnxValueInfo = { name: 'pool', dtype: 'f32', shape: ['batch', 3, 1, 1] };
const LOGITS: OnnxValueInfo = { name: 'logits', dtype: 'f32', shape: ['batch', 2] };

/** Means of each channel, and two classes: the red one, and the blue one twice. */
const inception = (
  change: Partial<OnnxModel['graph']> = {},
  metadata?: Record<string, string>,
): OnnxModel => ({
  ...{ irVersion: 9, producerName: 'test', opsets: [{ domain: '', version: 17 }] },
  graph: {
    name: 'tiny',
    inputs: [INPUT],
    outputs: [LOGITS, POOLED],
    nodes: [
      node('GlobalAveragePool', ['pictures'], ['pool']),
      node('Flatten', ['pool'], ['flat'], { axis: 1 }),
      node('MatMul', ['flat', 'weight'], ['logits']),
    ],
    initializers: [{ name: 'weight', dtype: 'f32', shape: [3, 2], data: floats([1, 0, 0, 0, 0, 2]) }],
    ...change,
  },
  ...(metadata === undefined ? {} : { metadata }),
});

async function opened(model: OnnxModel, name = 'Inception V3.onnx') {
  const file = `${folder}/${name}`;
  await writeFile(file, writeOnnx(model));
  return onnxFeatures(file, backend);
}

/** Every channel of a picture has one value. */
const flat = (values: readonly (readonly number[])[], size = 4): PictureBytes => ({
  ...{ count: values.length, channels: (values[0] as readonly number[]).length, size },
  pixels: Uint8Array.from(
    values.flatMap((row) => row.flatMap((v) => new Array<number>(size * size).fill(v))),
  ),
});

describe('an ONNX file as feature network', () => {
  it('gives features and classes, named after it', async () => {
    const network = await opened(inception());
    expect(network.name).toBe('inception-v3');
    // More than one batch.
    const many = Array.from({ length: 70 }, (_, i) => [255, 0, i * 3]);
    const { features, classes } = await network.extract(flat(many));
    expect([features.count, features.width, classes?.width]).toEqual([70, 3, 2]);
    for (const i of [0, 33, 69]) {
      const blue = (i * 3) / 127.5 - 1;
      expect(features.data[i * 3 + 2]).toBeCloseTo(blue, 5);
      expect([...(classes?.data.subarray(2 * i, 2 * i + 2) ?? [])]).toEqual([
        expect.closeTo(1, 5),
        expect.closeTo(2 * blue, 5),
      ]);
    }
    await network.close();
  });

  it('takes its range, its name and its outputs from its metadata', async () => {
    const network = await opened(
      inception({}, { 'inkstone.range': '0,1', 'inkstone.name': 'Mine', 'inkstone.features': 'logits' }),
    );
    expect(network.name).toBe('mine');
    const { features, classes } = await network.extract(flat([[51, 0, 255]]));
    expect([...features.data]).toEqual([expect.closeTo(0.2, 6), expect.closeTo(2, 6)]);
    expect(classes).toBeUndefined();
    await network.close();
  });

  it('sees grey as three equal channels, and fills up a fixed batch', async () => {
    const fixed = { inputs: [{ ...INPUT, shape: [4, 3, 8, 8] }] };
    const network = await opened(inception(fixed));
    const { features } = await network.extract(flat(Array.from({ length: 6 }, (_, i) => [i * 51])));
    for (let i = 0; i < 6; i++)
      for (let c = 0; c < 3; c++) expect(features.data[i * 3 + c]).toBeCloseTo((i * 51) / 127.5 - 1, 5);
    await network.close();
  });

  it('may want bytes, and channels last', async () => {
    const network = await opened(
      inception({
        inputs: [{ name: 'pictures', dtype: 'u8', shape: ['n', 6, 6, 3] }],
        outputs: [{ name: 'features', dtype: 'f32', shape: ['n', 3] }],
        nodes: [
          node('Cast', ['pictures'], ['wide'], { to: 1 }),
          node('ReduceMean', ['wide'], ['features'], { axes: [1, 2], keepdims: 0 }),
        ],
        initializers: [],
      }),
    );
    const { features } = await network.extract(flat([[10, 20, 250]]));
    expect([...features.data]).toEqual([10, 20, 250]);
    await network.close();
  });

  it.each([
    ['two inputs', inception({ inputs: [INPUT, { ...INPUT, name: 'more' }] }), 'features_invalid'],
    ['text for pictures', inception({ inputs: [{ ...INPUT, shape: ['batch', 8] }] }), 'features_invalid'],
    ['five channels', inception({ inputs: [{ ...INPUT, shape: ['batch', 5, 8, 8] }] }), 'features_invalid'],
    ['maps alone', inception({ outputs: [{ ...POOLED, shape: ['batch', 3, 7, 7] }] }), 'features_invalid'],
    ['a range that is none', inception({}, { 'inkstone.range': 'all' }), 'features_invalid'],
    ['a range upside down', inception({}, { 'inkstone.range': '1,0' }), 'features_invalid'],
    ['an output that is not there', inception({}, { 'inkstone.logits': 'classes' }), 'features_invalid'],
    [
      'an operator that nobody knows',
      inception({ nodes: [node('Dream', ['pictures'], ['pool']), node('Dream', ['pool'], ['logits'])] }),
      'compile_failed',
    ],
  ])('refuses %s', async (_, model, code) => {
    await expect(opened(model)).rejects.toMatchObject({ code });
  });

  it('refuses what is no ONNX file, and a backend that reads none', async () => {
    const file = `${folder}/broken.onnx`;
    await writeFile(file, Buffer.from('this is no protobuf'));
    await expect(onnxFeatures(file, backend)).rejects.toMatchObject({ code: 'onnx_corrupt' });
    await expect(onnxFeatures(`${folder}/none.onnx`, backend)).rejects.toMatchObject({ kind: 'missing' });
    const reference = await createBackend('reference');
    await expect(onnxFeatures(file, reference)).rejects.toMatchObject({ code: 'unsupported_setting' });
    await reference.close();
  });
});
