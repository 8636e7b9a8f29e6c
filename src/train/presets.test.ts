/** Every architecture's tiny preset learns: below a unigram of its characters, and a BERT below one of its pieces. */
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { textParameterCount } from '../models/text/architectures.ts';
import { bertParameters } from '../models/text/bert.ts';
import { bertPreset, bertPresetConfig, bertPresets } from '../models/text/bert-presets.ts';
import { presetConfig, textPreset, textPresets } from '../models/text/presets.ts';
import { initialise } from '../nn/parameters.ts';
import { trainingConfig } from '../nn/training-config.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import { prepareBert } from './bert-data.ts';
import { trainBert } from './bert-run.ts';
import { trainText } from './text-run.ts';

let folder: string;
let backend: Backend;
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-presets-'));
  backend = await createBackend('cpu', { threads: 1 });
});
afterAll(async () => {
  await backend.close();
  await fs.rm(folder, { recursive: true, force: true });
});

const subjects = ['the cat', 'a dog', 'my aunt', 'the moon', 'one bird'];
const verbs = ['sees', 'likes', 'follows', 'forgets'];
/** Sentences of a small grammar: what comes next depends on what was. */
const sentence = (i: number): string =>
  `${subjects[(i * 7) % 5]} ${verbs[(i * 3 + (i >> 2)) % 4]} ${subjects[(i * 11 + (i >> 3)) % 5]}.`;

/** Nats per symbol of the first nine tenths' frequencies on the last tenth. */
function unigram(symbols: readonly (string | number)[]): number {
  const cut = Math.floor(symbols.length * 0.9);
  const counts = new Map<string | number, number>();
  for (const symbol of symbols.slice(0, cut)) counts.set(symbol, (counts.get(symbol) ?? 0) + 1);
  const kinds = new Set(symbols).size;
  const rest = symbols.slice(cut);
  const loss = (symbol: string | number): number =>
    -Math.log(((counts.get(symbol) ?? 0) + 0.5) / (cut + 0.5 * kinds));
  return rest.reduce((total: number, symbol) => total + loss(symbol), 0) / rest.length;
}

test.each(['tiny', 'gpt3-tiny', 'pangu-tiny', 'llama-tiny'])('%s learns', async (id) => {
  const text = Array.from({ length: 400 }, (_, i) => `${sentence(i)}\n`).join('');
  const data = path.join(folder, `${id}.txt`);
  await fs.writeFile(data, text);
  const result = await trainText({
    ...{ preset: textPreset(id), data, out: path.join(folder, id), backend },
    training: { sampleEvery: 0 },
  });
  expect(result.validationLoss).toBeLessThan(0.5 * unigram([...text]));
});

test('bert-tiny learns masked tokens below their unigram, and goes on from its own run', async () => {
  const books = path.join(folder, 'books');
  await fs.mkdir(books);
  for (const name of ['a', 'b', 'c'])
    await fs.writeFile(
      path.join(books, `${name}.txt`),
      Array.from({ length: 900 }, (_, i) => `${sentence(i + name.charCodeAt(0))} `).join(''),
    );
  const data = await prepareBert({ data: books, tokenizer: 100 });
  const preset = bertPreset('bert-tiny');
  const training = trainingConfig.parse(preset.training);
  const model = bertPresetConfig(preset, data.tokenizer.vocabularySize);
  const options = { ...data, data: books, model, training, backend };
  const result = await trainBert({ ...options, out: path.join(folder, 'bert') });
  const reference = unigram([...data.train.ids, ...data.validation.ids]);
  expect(result.validationLoss).toBeLessThan(0.6 * reference);
  const gone = await trainBert({
    ...options,
    training: { ...training, steps: 2, learningRate: 1e-6 },
    from: result.weights,
    out: path.join(folder, 'gone'),
  });
  expect(Math.abs(gone.validationLoss - result.validationLoss)).toBeLessThan(0.05);
});

test('every preset is a whole configuration whose sizes its description names', () => {
  for (const preset of textPresets) {
    expect(trainingConfig.parse(preset.training).context).toBeLessThanOrEqual(preset.model.context);
    expect(textParameterCount(presetConfig(preset, 2048))).toBeGreaterThan(1000);
  }
  const millions = (id: string, vocabulary: number): number =>
    textParameterCount(presetConfig(textPreset(id), vocabulary)) / 1e6;
  // nanoGPT's CPU configuration over the 65 characters of Shakespeare.
  expect(textParameterCount(presetConfig(textPreset('nanogpt-cpu'), 65))).toBe(804_096);
  expect(millions('gpt3-small', 2048)).toBeCloseTo(4, 0);
  expect(millions('llama-small', 2048)).toBeCloseTo(3.5, 1);
  for (const preset of bertPresets)
    expect(bertPresetConfig(preset, preset.vocabulary).vocabulary).toBe(preset.vocabulary);
  const base = bertParameters(bertPresetConfig(bertPreset('bert-base'), 30522));
  // As the paper counts: without the heads of pre-training, 110 million.
  const count = base
    .filter(({ name }) => name.startsWith('bert.'))
    .reduce((total, { shape }) => total + shape.reduce((a, b) => a * b, 1), 0);
  expect(count).toBe(109_482_240);
  expect(
    Object.keys(initialise(bertParameters(bertPresetConfig(bertPreset('bert-tiny'), 100)), 1)).length,
  ).toBe(bertParameters(bertPresetConfig(bertPreset('bert-tiny'), 100)).length);
});
