/** Whole trainings in this process: every optimiser, dropout, averages and other tokens resume to the same bytes. */
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { loadTextModel } from '../models/text/load.ts';
import { type TextPreset, textPreset } from '../models/text/presets.ts';
import type { TrainingConfig } from '../nn/training-config.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import { type TextRunOptions, trainText } from './text-run.ts';

const disk = vi.hoisted(() => ({ free: undefined as number | undefined }));
vi.mock('../base/host.ts', async (original) => {
  const host = await original<typeof import('../base/host.ts')>();
  return { ...host, freeSpace: async (folder: string) => disk.free ?? host.freeSpace(folder) };
});

let folder: string;
let data: string;
let backend: Backend;

const tiny = textPreset('tiny');
const small: TextPreset = { ...tiny, model: { ...tiny.model, layers: 1, width: 16, context: 16 } };
const training = { steps: 12, batch: 4, evaluateEvery: 4, checkpointEvery: 3, sampleEvery: 2 };

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-run-'));
  data = path.join(folder, 'data.jsonl');
  const rows = Array.from({ length: 60 }, (_, i) =>
    JSON.stringify({ text: `Row ${i} says that ${i} plus ${i} is ${i + i}.` }),
  );
  await fs.writeFile(data, rows.join('\n'));
  backend = await createBackend('cpu', { threads: 1 });
});
afterAll(async () => {
  await backend.close();
  await fs.rm(folder, { recursive: true, force: true });
});

const run = (name: string, options: Partial<TextRunOptions> = {}): ReturnType<typeof trainText> =>
  trainText({
    preset: small,
    data,
    out: path.join(folder, name),
    backend,
    ...options,
    training: { ...training, ...options.training },
  });

const bytes = (name: string, file: string): Promise<Buffer> =>
  fs.readFile(path.join(folder, name, 'checkpoints', `${file}.safetensors`));

/** Stops a run after so many steps: samples are taken at every second one. */
function stopAt(step: number): Pick<TextRunOptions, 'signal' | 'sample'> {
  const controller = new AbortController();
  let samples = 0;
  const sample = async (): Promise<string> => {
    if (++samples * 2 >= step) controller.abort();
    return 'sample';
  };
  return { signal: controller.signal, sample };
}

const bpe: Partial<TextRunOptions> = { preset: { ...small, tokenizer: { name: 'bpe', vocabulary: 300 } } };
const cases: [string, Partial<TextRunOptions>][] = [
  ['adamw', {}],
  [
    'muon with dropout',
    { training: { optimiser: { name: 'muon' } as TrainingConfig['optimiser'], dropout: 0.2 } },
  ],
  [
    'sgd with an average and accumulation',
    { training: { optimiser: { name: 'sgd' } as TrainingConfig['optimiser'], ema: 0.9, accumulation: 2 } },
  ],
  ['byte-level tokens with biases', { ...bpe, model: { bias: true } }],
];

// Real trainings: on a machine that is busy with other work they take their time.
describe('trainText', { timeout: 300_000 }, () => {
  test.each(cases)('%s: stopped twice and resumed, it ends with the same bytes', async (name, options) => {
    const whole = await run(`${name} whole`, options);
    expect(whole.validationLoss).toBeGreaterThan(0);
    // One stop between checkpoints and evaluations, one after an evaluation.
    const first = await run(`${name} parts`, { ...options, ...stopAt(2) });
    expect(first).toMatchObject({ state: 'stopped', steps: 2 });
    const second = await run(`${name} parts`, { ...options, resume: true, ...stopAt(6) });
    expect(second).toMatchObject({ state: 'stopped', steps: 8 });
    const end = await run(`${name} parts`, { ...options, resume: true });
    expect(end).toMatchObject({
      state: 'succeeded',
      steps: 12,
      validationLoss: whole.validationLoss,
      bestStep: whole.bestStep,
    });
    for (const file of ['last', 'best'])
      expect((await bytes(`${name} parts`, file)).equals(await bytes(`${name} whole`, file))).toBe(true);
  });

  test('a run that stops before its first step resumes from the start', async () => {
    const stopped = await run('early', { signal: AbortSignal.abort() });
    expect(stopped).toMatchObject({ state: 'stopped', steps: 0 });
    await run('early', { resume: true });
    await run('late');
    expect((await bytes('early', 'last')).equals(await bytes('late', 'last'))).toBe(true);
  });

  test('a run replaced with force forgets the one before', async () => {
    await run('replaced', { training: { ...training, seed: 9 } });
    const controller = new AbortController();
    controller.abort();
    await run('replaced', { force: true, signal: controller.signal });
    await run('replaced', { resume: true });
    await run('unreplaced');
    expect((await bytes('replaced', 'last')).equals(await bytes('unreplaced', 'last'))).toBe(true);
  });

  test('a refused replacement leaves the run as it was', async () => {
    await run('kept');
    const before = await fs.readFile(path.join(folder, 'kept', 'tokenizer.json'), 'utf8');
    const other = path.join(folder, 'short.txt');
    await fs.writeFile(other, 'Ω short');
    await expect(run('kept', { force: true, data: other })).rejects.toMatchObject({
      code: 'context_too_long',
    });
    expect(await fs.readFile(path.join(folder, 'kept', 'tokenizer.json'), 'utf8')).toBe(before);
    await expect(run('kept', { resume: true })).resolves.toMatchObject({ state: 'succeeded' });
  });

  test('a disk without room for the checkpoints is refused before the first step', async () => {
    await run('roomy', { training: { ...training, steps: 2 } });
    const before = await bytes('roomy', 'last');
    let steps = 0;
    const report = (): void => {
      steps++;
    };
    const refused = expect.objectContaining({
      ...{ code: 'disk_full', exitStatus: 6, hint: expect.stringContaining('--out') },
      message: expect.stringMatching(/take \d+ MiB, the disk has 4/),
    });
    disk.free = 2 ** 22;
    try {
      await expect(run('cramped', { report })).rejects.toEqual(refused);
      await expect(run('roomy', { report, force: true })).rejects.toEqual(refused);
    } finally {
      disk.free = undefined;
    }
    expect(steps).toBe(0);
    await expect(fs.access(path.join(folder, 'cramped'))).rejects.toThrow();
    expect((await bytes('roomy', 'last')).equals(before)).toBe(true);
  });

  test('the run folder is a model that loads, with its parameters counted', async () => {
    const result = await run('model');
    const model = await loadTextModel(path.join(folder, 'model'));
    expect(model.parameters).toBe(result.parameters);
    expect(model.config.vocabulary).toBe(model.tokenizer.vocabularySize);
    const config = JSON.parse(await fs.readFile(path.join(folder, 'model', 'config.json'), 'utf8'));
    expect(config.data).toMatchObject({ documents: 60, validation: 0.1 });
    expect(config.data.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    const kept = JSON.parse(await fs.readFile(path.join(folder, 'model', 'result.json'), 'utf8'));
    expect(kept.validationLoss).toBe(result.validationLoss);
    // Of the whole process: ONNX Runtime computes in it.
    expect(kept.peakMemory).toBe(result.peakMemory);
    expect(kept.peakMemory).toBeGreaterThanOrEqual(process.memoryUsage().rss / 4);
    expect(kept.peakMemory).toBeLessThanOrEqual(process.resourceUsage().maxRSS * 1024);
  });

  test('sizes that fit no network are the caller’s mistake', async () => {
    await expect(run('odd', { model: { width: 17 } })).rejects.toMatchObject({
      code: 'invalid_input',
      exitStatus: 2,
    });
    await expect(run('odd', { training: { ...training, context: 64 } })).rejects.toMatchObject({
      code: 'context_too_long',
      exitStatus: 2,
    });
    await expect(run('odd', { training: { ...training, batch: 0 } })).rejects.toMatchObject({
      code: 'invalid_input',
    });
    await expect(fs.access(path.join(folder, 'odd'))).rejects.toThrow();
  });
});
