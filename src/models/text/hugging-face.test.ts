/** Folders that Hugging Face's library wrote: our logits are its own, and what we write it would read the same. */
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HostTensor, tensor } from '../../base/tensor.ts';
import { writeSafetensors } from '../../formats/safetensors.ts';
import { type Backend, createBackend } from '../../runtime/index.ts';
import { isBert } from './any.ts';
import { textLogits } from './architectures.ts';
import { bertAnswers } from './bert-programs.ts';
import { huggingFaceLayout } from './hugging-face.ts';
import { describeTextModel, loadWeights } from './load.ts';

const golden = path.join(path.dirname(fileURLToPath(import.meta.url)), 'golden');
const names = await readdir(golden);
let backend: Backend;
beforeAll(async () => {
  backend = await createBackend('cpu', { threads: 1, inline: true });
});
afterAll(() => backend.close());

async function answersOf(folder: string, ids: readonly number[]): Promise<Record<string, HostTensor>> {
  const info = await describeTextModel(folder);
  const { config } = info;
  const program = isBert(config) ? bertAnswers(config) : textLogits(config);
  const executable = await backend.compile(program, { constants: await loadWeights(info) });
  const more = { segments: tensor('i32', [1, 8], new Int32Array(8)), length: tensor('i32', [1], [8]) };
  return executable.run({
    inputs: { tokens: tensor('i32', [1, 8], Int32Array.from(ids)), ...(isBert(config) ? more : {}) },
  });
}

describe.each(names)('%s', (name) => {
  const folder = path.join(golden, name);
  const read = async () =>
    JSON.parse(await readFile(path.join(folder, 'expected.json'), 'utf8')) as {
      ids: number[];
      logits?: number[][] | number[];
      prediction_logits?: number[][];
      next?: number[];
    };

  test('our scores are those of transformers', async () => {
    const expected = await read();
    const answers = await answersOf(folder, expected.ids);
    const pairs: [string, readonly number[]][] = [
      [
        name === 'bert-classes' ? 'classes' : 'logits',
        (expected.logits ?? expected.prediction_logits ?? []).flat(),
      ],
      ...(expected.next === undefined ? [] : ([['next', expected.next]] as [string, number[]][])),
    ];
    for (const [key, values] of pairs) {
      const found = answers[key] as HostTensor<'f32'>;
      expect(found.data.length).toBe(values.length);
      values.forEach((value, i) => {
        expect(Math.abs((found.data[i] as number) - value), `${key}[${i}]`).toBeLessThan(1e-4);
      });
    }
  });

  test('what we write of it reads back the same', async () => {
    const info = await describeTextModel(folder);
    const layout = huggingFaceLayout(info.config);
    const copy = await mkdtemp(path.join(tmpdir(), 'inkstone-hf-'));
    const weights = await loadWeights(info);
    await writeFile(
      path.join(copy, 'config.json'),
      JSON.stringify(layout.writeConfig(info.config, undefined)),
    );
    await writeFile(
      path.join(copy, 'model.safetensors'),
      writeSafetensors(layout.writeTensors(weights, info.config)),
    );
    const again = await describeTextModel(copy);
    expect(again.config).toEqual(info.config);
    expect(await loadWeights(again)).toEqual(weights);
  });
});

describe('a folder that does not fit', () => {
  const copyOf = async (name: string): Promise<string> => {
    const copy = await mkdtemp(path.join(tmpdir(), 'inkstone-hf-'));
    for (const file of await readdir(path.join(golden, name)))
      await writeFile(path.join(copy, file), await readFile(path.join(golden, name, file)));
    return copy;
  };
  const load = async (folder: string) => loadWeights(await describeTextModel(folder));

  test('names the first tensor that has another shape', async () => {
    const folder = await copyOf('llama');
    const file = path.join(folder, 'config.json');
    await writeFile(
      file,
      (await readFile(file, 'utf8')).replace('"intermediate_size": 24', '"intermediate_size": 32'),
    );
    await expect(load(folder)).rejects.toMatchObject({
      code: 'parameters_differ',
      message: expect.stringContaining('model.layers.0.mlp.gate_proj.weight'),
    });
  });
  test('names a tensor that is missing', async () => {
    const folder = await copyOf('qwen3');
    const file = path.join(folder, 'config.json');
    await writeFile(
      file,
      (await readFile(file, 'utf8')).replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'),
    );
    await expect(load(folder)).rejects.toMatchObject({
      code: 'parameters_differ',
      message: expect.stringContaining('model.layers.2.'),
    });
  });
  test('a truncated file and a header that lies about its length', async () => {
    const folder = await copyOf('gpt2');
    const file = path.join(folder, 'model.safetensors');
    const whole = await readFile(file);
    await writeFile(file, whole.subarray(0, whole.length - 40));
    await expect(load(folder)).rejects.toMatchObject({ code: 'safetensors_corrupt' });
    const lying = Buffer.from(whole);
    lying.writeBigUInt64LE(BigInt(whole.length), 0);
    await writeFile(file, lying);
    await expect(load(folder)).rejects.toMatchObject({ code: 'safetensors_corrupt' });
  });
  test('a shard that is missing, and one that lies outside', async () => {
    const folder = await copyOf('llama-scaled');
    const index = path.join(folder, 'model.safetensors.index.json');
    const text = await readFile(index, 'utf8');
    await writeFile(index, text.replaceAll('model-00002', 'model-00009'));
    await expect(load(folder)).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringContaining('00009'),
    });
    await writeFile(index, text.replaceAll('model-00002', '../model-00002'));
    await expect(load(folder)).rejects.toMatchObject({ code: 'model_invalid' });
  });
  test('a pickle is never opened', async () => {
    const folder = await copyOf('gpt2');
    const { rename } = await import('node:fs/promises');
    await rename(path.join(folder, 'model.safetensors'), path.join(folder, 'pytorch_model.bin'));
    await expect(load(folder)).rejects.toMatchObject({
      code: 'model_invalid',
      hint: expect.stringContaining('safe_serialization=True'),
    });
  });
  test('another architecture is named', async () => {
    const folder = await copyOf('gpt2');
    const file = path.join(folder, 'config.json');
    await writeFile(
      file,
      (await readFile(file, 'utf8')).replace('"model_type": "gpt2"', '"model_type": "mamba"'),
    );
    await expect(describeTextModel(folder)).rejects.toMatchObject({
      code: 'config_unsupported',
      message: expect.stringContaining('mamba'),
    });
  });
});
