/** Likelihoods and answers of a real small model against their definitions; comparisons that resume. */
import { promises as fs } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeTemporaryFolder } from '../base/host.ts';
import { type HostTensor, tensor } from '../base/tensor.ts';
import { textLogits } from '../models/text/architectures.ts';
import { loadTextModel } from '../models/text/load.ts';
import { textPreset } from '../models/text/presets.ts';
import { CHAT_TEMPLATES, compilePrompt, type PromptInput, PromptRenderer } from '../prompt/index.ts';
import { type Backend, createBackend } from '../runtime/index.ts';
import { trainText } from '../train/text-run.ts';
import { comparePrompts, summarise } from './compare-prompts.ts';
import { LanguageModel } from './language-model.ts';
import {
  askOne,
  scoreAnswer,
  type TaskItem,
  type TaskResult,
  type TaskSettings,
  taskMetrics,
} from './tasks.ts';

const animals = ['cat', 'dog', 'cow'] as const;
const sounds = { cat: 'meow', dog: 'bark', cow: 'moo' } as const;
let folder: string;
let backend: Backend;
let model: LanguageModel;
const plain = CHAT_TEMPLATES.plain as NonNullable<(typeof CHAT_TEMPLATES)[string]>;

beforeAll(async () => {
  folder = await makeTemporaryFolder('inkstone-tasks');
  backend = await createBackend('cpu', { threads: 1 });
  // A world in which an animal's sound stands behind its name.
  const text = Array.from({ length: 900 }, (_, i) => {
    const animal = animals[(i * 7 + (i >> 3)) % 3] as (typeof animals)[number];
    return `Q: ${animal}\nA: ${sounds[animal]}\n\n`;
  }).join('');
  await fs.writeFile(`${folder}/data.txt`, text);
  await trainText({
    preset: textPreset('tiny'),
    ...{ data: `${folder}/data.txt`, out: `${folder}/run`, backend },
    training: { steps: 150, learningRate: 0.01, sampleEvery: 0 },
  });
  model = new LanguageModel('tiny', await loadTextModel(`${folder}/run`), backend);
}, 120_000);
afterAll(async () => {
  await model.close();
  await backend.close();
  await fs.rm(folder, { recursive: true, force: true });
});

/** −log p of the last `count` ids by the network's own scores, position by position. */
async function byHand(ids: readonly number[], count: number): Promise<{ nats: number; best: boolean }> {
  const reference = await createBackend('reference');
  const program = await reference.compile(textLogits(model.model.config));
  const inputs = {
    ...model.model.weights,
    tokens: tensor('i32', [1, ids.length - 1], Int32Array.from(ids.slice(0, -1))),
  };
  const { logits } = await program.run({ inputs });
  const { vocabulary } = model.model.config;
  const found = { nats: 0, best: true };
  for (let i = ids.length - 1 - count; i < ids.length - 1; i++) {
    const row = Array.from((logits as HostTensor<'f32'>).data.subarray(i * vocabulary, (i + 1) * vocabulary));
    const target = row[ids[i + 1] as number] as number;
    found.nats += Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - target;
    found.best &&= target === Math.max(...row);
  }
  await reference.close();
  return found;
}

const settings = (more: Partial<TaskSettings> = {}): TaskSettings => ({
  metrics: ['exact-match'],
  normalise: 'token',
  answerContext: 'A:',
  maxTokens: 10,
  stop: ['\n'],
  seed: 1,
  ...more,
});
const variant = (name: string, definition: PromptInput) => ({
  name,
  renderer: new PromptRenderer(compilePrompt(definition)),
});
const asking: PromptInput = { text: 'Q: {{animal}}\nA:', choices: ['meow', 'bark', 'moo'] };
const items: TaskItem[] = animals.map((animal, number) => ({
  number,
  values: { animal },
  answers: [sounds[animal]],
}));

describe('likelihoods', () => {
  test('are the network’s own, whatever else is asked with them', async () => {
    const { tokenizer } = model.model;
    const asked = [
      { context: 'Q: cat\nA:', continuation: ' meow' },
      { context: 'Q: cat\nA: ', continuation: 'bark' },
      { context: '', continuation: 'Q: cow' },
      { context: 'Q: dog\nA:', continuation: ' moo\n' },
    ];
    const scores = await model.score(asked);
    for (const [i, { context, continuation }] of asked.entries()) {
      const ids = tokenizer.encode(context + continuation);
      // Nothing before it: the line end begins a text.
      const all = context === '' ? [...tokenizer.encode('\n'), ...ids] : ids;
      const count = ids.length - tokenizer.encode(context.trimEnd()).length;
      const expected = await byHand(all, count);
      expect(scores[i]?.tokens).toBe(count);
      expect(scores[i]?.nats).toBeCloseTo(expected.nats, 3);
      expect(scores[i]?.best).toBe(expected.best);
    }
  });

  test('of a long context are those of its end', async () => {
    const long = 'Q: cow\nA: moo\n\n'.repeat(9);
    const [score] = await model.score([{ context: `${long}Q: dog\nA:`, continuation: ' bark' }]);
    const ids = model.model.tokenizer.encode(`${long}Q: dog\nA: bark`).slice(-33);
    expect(score?.nats).toBeCloseTo((await byHand(ids, 5)).nats, 3);
  });

  test.each([
    ['nothing', { context: 'Q:', continuation: '' }, 'continuation_empty'],
    ['too much', { context: 'Q:', continuation: ' meow'.repeat(9) }, 'continuation_too_long'],
    ['unknown characters', { context: 'Ω', continuation: 'x' }, 'character_unknown'],
  ])('of %s are refused', async (_, asked, code) => {
    await expect(model.score([asked])).rejects.toMatchObject({ code });
  });
});

test('what is written ends before a stop text', async () => {
  const options = { maxTokens: 30, stop: ['\n'] };
  expect(await model.write(['Q: cat\nA:', 'Q: cow\nA:'], options)).toEqual([' meow', ' moo']);
  const [long] = await model.write(['Q: cat\nA:'], { maxTokens: 9 });
  expect(long).toBe(' meow\n\nQ:');
});

describe('a question', () => {
  const one = (
    definition: PromptInput,
    item: TaskItem,
    more: Partial<TaskSettings> = {},
  ): Promise<TaskResult> => askOne(model, plain, variant('v', definition), item, settings(more));

  test('is answered in writing, by choice, and by completion', async () => {
    for (const item of items) {
      const { output, picked, nats, scores } = await one(asking, item, {
        metrics: ['exact-match', 'f1', 'rouge1', 'contains', 'choice', 'completion'],
      });
      expect(output).toBe(item.answers[0]);
      expect(picked).toBe(item.answers[0]);
      expect(nats).toHaveLength(3);
      expect(scores).toEqual({ 'exact-match': 1, f1: 1, rouge1: 1, contains: 1, choice: 1, completion: 1 });
    }
  });

  test('compares choices as it is told', async () => {
    const item = items[0] as TaskItem;
    const [a, b] = await model.score([
      { context: 'Q: cat\nA:', continuation: ' meow' },
      { context: 'Q: cat\nA:', continuation: ' m' },
    ]);
    const choices = { ...asking, choices: ['meow', 'm'] };
    // The sum favours what is short: a part is never less likely than the whole.
    const sum = await one(choices, item, { metrics: ['choice'], normalise: 'none' });
    expect(sum.picked).toBe('m');
    expect(sum.nats?.[0]).toBeCloseTo(a?.nats as number, 4);
    const token = await one(choices, item, { metrics: ['choice'], normalise: 'token' });
    const better = (a?.nats as number) / 5 < (b?.nats as number) / 2 ? 'meow' : 'm';
    expect(token.picked).toBe(better);
    // Without a question all sounds are about as likely: the difference is the question's.
    const fair = await one(asking, item, { metrics: ['choice'], normalise: 'unconditional' });
    expect(fair.picked).toBe('meow');
  });

  test('may be asked in turns', async () => {
    const turns: PromptInput = {
      messages: [{ role: 'user', content: '{{animal}}' }],
      choices: ['meow', 'moo'],
    };
    const ask = askOne(
      model,
      { name: 'own', render: async (all) => `Q: ${all[0]?.content}\nA:` },
      variant('v', turns),
      items[0] as TaskItem,
      settings({ metrics: ['choice'] }),
    );
    expect((await ask).picked).toBe('meow');
  });

  test.each<[string, PromptInput, Partial<TaskItem>, string]>([
    ['without choices', { text: 'Q: {{animal}}' }, {}, 'choices_missing'],
    ['whose answer is no choice', asking, { answers: ['quack'] }, 'answer_no_choice'],
    ['without its variable', asking, { values: { name: 'x' } }, 'variable_missing'],
  ])('%s is refused', async (_, definition, change, code) => {
    const item = { ...(items[0] as TaskItem), ...change };
    await expect(one(definition, item, { metrics: ['choice'] })).rejects.toMatchObject({ code });
  });
});

test('written answers are scored as the field does', () => {
  expect(scoreAnswer('exact-match', 'The  Cat!', ['dog', 'cat'])).toBe(1);
  expect(scoreAnswer('contains', 'It is a  CAT.', ['a cat'])).toBe(1);
  expect(scoreAnswer('contains', 'none', ['a cat'])).toBe(0);
  expect(scoreAnswer('f1', 'big cat', ['cat'])).toBeCloseTo(2 / 3, 12);
  expect(scoreAnswer('rougeL', 'a b c', ['a c'])).toBeCloseTo(0.8, 12);
  expect(() => taskMetrics(['exact-mach'])).toThrow(
    expect.objectContaining({ hint: 'did you mean exact-match?' }),
  );
});

describe('a comparison', () => {
  const many: TaskItem[] = Array.from({ length: 12 }, (_, number) => ({
    ...(items[number % 3] as TaskItem),
    number,
  }));
  const variants = [variant('plain', { text: 'A: {{animal}}' }), variant('asked', asking)];
  const options = { variants, items: many, settings: settings({ metrics: ['exact-match', 'f1'] }) };

  test('tells which prompt is better, and how sure that is', async () => {
    const { variants: found, state } = await comparePrompts({ model, template: plain, ...options });
    expect(state).toBe('succeeded');
    const [first, second] = found;
    expect(second?.scores['exact-match']).toMatchObject({ value: 1, upper: 1, count: 12 });
    expect(first?.against_first).toBeUndefined();
    const test = second?.against_first?.['exact-match'];
    expect(test).toMatchObject({ test: 'McNemar, exact', count: 12 });
    expect(test?.difference).toBeGreaterThan(0.5);
    expect(test?.p).toBeLessThan(0.05);
  });

  test('goes on from what is known, and ends with the same', async () => {
    const kept: TaskResult[] = [];
    const whole = await comparePrompts({
      ...{ model, template: plain, ...options },
      record: async (result) => void kept.push(result),
    });
    for (const cut of [1, 9, 23, 24]) {
      const asked: TaskResult[] = [];
      const again = await comparePrompts({
        ...{ model, template: plain, ...options, known: kept.slice(0, cut) },
        record: async (result) => void asked.push(result),
      });
      expect(asked).toHaveLength(24 - cut);
      expect(again).toEqual(whole);
    }
    const stopped = await comparePrompts({
      ...{ model, template: plain, ...options, known: kept.slice(0, 8), signal: AbortSignal.abort() },
    });
    expect(stopped).toMatchObject({ state: 'stopped' });
    expect(stopped.results).toHaveLength(8);
  });

  test('counts only questions that all have answered', () => {
    const result = (variantOf: string, item: number, f1: number): TaskResult => ({
      variant: variantOf,
      item,
      scores: { f1 },
    });
    const found = summarise(['a', 'b'], ['f1'], [result('a', 0, 0.5), result('b', 0, 1), result('a', 1, 0)]);
    expect(found[0]?.scores.f1).toMatchObject({ value: 0.5, count: 1 });
    expect(found[1]?.scores.f1).toMatchObject({ value: 1, count: 1 });
  });
});
