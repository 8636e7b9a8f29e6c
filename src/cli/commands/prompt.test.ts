/** The commands about prompts as people call them, with a real small model. */
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { textPreset } from '../../models/text/presets.ts';
import { createBackend } from '../../runtime/index.ts';
import { trainText } from '../../train/text-run.ts';
import { runMain } from '../testing.ts';

let folder: string;
let home: string;
let model: string;
let data: string;
let pool: string;

const file = async (name: string, content: string): Promise<string> => {
  const at = path.join(folder, name);
  await fs.writeFile(at, content);
  return at;
};
const prompt = (...words: string[]): ReturnType<typeof runMain> =>
  runMain(['prompt', ...words, '--home', home, '--json']);

const animals = ['cat', 'dog', 'cow'] as const;
const sounds = { cat: 'meow', dog: 'bark', cow: 'moo' } as const;
const rows = (count: number): string =>
  Array.from({ length: count }, (_, i) => {
    const question = animals[i % 3] as (typeof animals)[number];
    return `${JSON.stringify({ question, answer: sounds[question] })}\n`;
  }).join('');

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-prompt-'));
  home = path.join(folder, 'home');
  model = path.join(folder, 'run');
  data = await file('test.jsonl', rows(6));
  pool = await file('pool.jsonl', rows(3));
  await file('ask.txt', 'Q: {{question}}\nA:\n');
  const other = { text: 'A: {{question}}', variables: { question: { type: 'string' } } };
  await file('ask.json', JSON.stringify(other));
  const text = Array.from({ length: 900 }, (_, i) => {
    const animal = animals[(i * 7 + (i >> 3)) % 3] as (typeof animals)[number];
    return `Q: ${animal}\nA: ${sounds[animal]}\n\n`;
  }).join('');
  const backend = await createBackend('cpu', { threads: 1 });
  await trainText({
    preset: textPreset('tiny'),
    ...{ data: await file('data.txt', text), out: model, backend },
    training: { steps: 150, learningRate: 0.01, sampleEvery: 0 },
  });
  await backend.close();
}, 180_000);
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

describe('the registry', () => {
  test('add, list, show, label, render', async () => {
    const first = await prompt(
      'add',
      'ask',
      await file('ask.txt', 'Q: {{question}}\nA:\n'),
      '--note',
      'first',
    );
    expect(first.json).toMatchObject({ name: 'ask', version: 1, added: true });
    const changed = path.join(folder, 'ask.json');
    expect((await prompt('add', 'ask', changed, '--label', 'staging')).json).toMatchObject({ version: 2 });
    expect((await prompt('add', 'ask', changed)).json).toMatchObject({ version: 2, added: false });
    expect((await prompt('label', 'ask@1', 'production')).json).toMatchObject({
      labels: { production: 1, staging: 2 },
    });
    expect((await prompt('list')).json.prompts).toMatchObject([{ name: 'ask', latest: 2 }]);
    expect((await prompt('show', 'ask@production')).json).toMatchObject({
      version: 1,
      labels: ['production'],
      definition: { text: 'Q: {{question}}\nA:' },
    });
    const { json } = await prompt('show', 'ask', '--history');
    expect((json.versions as { note?: string }[]).map(({ note }) => note)).toEqual([undefined, 'first']);
    expect((await prompt('show', 'ask@2', '--diff', 'production')).json).toMatchObject({
      from: 1,
      to: 2,
      same: false,
    });
    expect((await prompt('render', 'ask@1', '--var', 'question=cat = cat')).json.prompt).toBe(
      'Q: cat = cat\nA:',
    );
    const shown = await runMain(['prompt', 'show', 'ask@2', '--diff', '1', '--home', home]);
    expect(shown.out).toContain('- Q: {{question}}');
    expect((await runMain(['prompt', 'list', '--home', home])).out).toContain('ask  2 versions');
  });

  test('turns are rendered by a chat template, values by their types', async () => {
    const chat = await file(
      'chat.json',
      JSON.stringify({
        messages: [{ role: 'user', content: '{{#words}}{{.}}!{{/words}} {{n}}' }],
        variables: { words: { type: 'list', of: { type: 'string' } }, n: { type: 'integer' } },
      }),
    );
    const values = ['--var', 'words=["a","b"]', '--var', 'n=3'];
    expect((await prompt('render', chat, ...values)).json.prompt).toBe('User: a!b! 3\n\nAssistant:');
    expect((await prompt('render', chat, ...values, '--template', 'chatml')).json.prompt).toContain(
      '<|im_start|>user\na!b! 3',
    );
    const whole = await file('values.json', JSON.stringify({ words: ['x'], n: 1 }));
    expect((await prompt('render', chat, '--values', whole)).json.messages).toEqual([
      { role: 'user', content: 'x! 1' },
    ]);
    // A checkpoint's own template.
    const hub = path.join(folder, 'hub');
    await fs.cp(model, hub, { recursive: true });
    await fs.writeFile(
      path.join(hub, 'tokenizer_config.json'),
      JSON.stringify({ chat_template: '{{ bos_token }}[{{ messages[0].content }}]', bos_token: '<s>' }),
    );
    expect((await prompt('render', chat, '--values', whole, '--model', hub)).json.prompt).toBe('<s>[x! 1]');
    const bad = async (...words: string[]): Promise<unknown> =>
      (await prompt('render', chat, ...words)).error.code;
    expect(await bad('--var', 'words=a', '--var', 'n=3')).toBe('variable_invalid');
    expect(await bad('--var', 'n=3')).toBe('variable_missing');
    expect(await bad(...values, '--var', 'm=3')).toBe('variable_unknown');
    expect(await bad(...values, '--template', 'nowhere')).toBe('chat_template_unknown');
    expect(await bad('--var', 'n')).toBe('variable_unreadable');
  });

  test('examples are compared by a model’s vectors', async () => {
    const near = await file(
      'near.json',
      JSON.stringify({
        text: '{{examples}} {{question}}',
        examples: {
          rows: [{ question: 'cow' }, { question: 'cat' }],
          ...{ format: '{{question}}', count: 1, select: 'similar', by: 'question' },
        },
      }),
    );
    const { json } = await prompt('render', near, '--var', 'question=cat:', '--embed', model);
    expect(json.examples).toHaveLength(1);
    expect((await prompt('render', near, '--var', 'question=cat:')).json.prompt).toBe('cat cat:');
  });

  test.each([
    ['nothing', ['show', 'nowhere'], 'prompt_not_found', 4],
    ['no file', ['add', 'x', '/nowhere/at/all'], 'file_missing', 4],
    ['a bad name', ['label', 'ask', 'latest'], 'label_invalid', 2],
  ])('%s is told', async (_, words, code, status) => {
    const result = await prompt(...words);
    expect(result.error.code).toBe(code);
    expect(result.status).toBe(status);
  });
});

describe('prompt evaluate', () => {
  const evaluate = (...words: string[]): ReturnType<typeof runMain> =>
    runMain([
      'prompt',
      'evaluate',
      model,
      '--data',
      data,
      '--home',
      home,
      '--threads',
      '1',
      '--json',
      ...words,
    ]);
  const both = (): string[] => [
    '--prompt',
    path.join(folder, 'ask.json'),
    '--prompt',
    path.join(folder, 'ask.txt'),
  ];

  test('compares, keeps every answer, and goes on where it was cut', async () => {
    const out = path.join(folder, 'compared');
    const { json, status } = await evaluate(...both(), '--out', out, '--metric', 'exact-match,contains');
    expect(status).toBe(0);
    expect(json).toMatchObject({ state: 'succeeded', items: 6, model: 'run' });
    const [, second] = json.variants as {
      scores: Record<string, object>;
      against_first: Record<string, object>;
    }[];
    expect(second?.scores['exact-match']).toMatchObject({ value: 1, count: 6 });
    expect(second?.against_first['exact-match']).toMatchObject({
      test: 'McNemar, exact',
      difference: 1,
      p: expect.closeTo(0.03125, 10),
    });
    const results = path.join(out, 'results.jsonl');
    const [answers, result] = [
      await fs.readFile(results, 'utf8'),
      await fs.readFile(path.join(out, 'result.json'), 'utf8'),
    ];
    expect(answers.trimEnd().split('\n')).toHaveLength(12);
    const again = (...words: string[]): ReturnType<typeof runMain> =>
      evaluate(...both(), '--out', out, '--metric', 'exact-match,contains', ...words);
    expect((await again()).error.code).toBe('evaluation_exists');
    // As a kill leaves it: some answers, the last one in half.
    await fs.rm(path.join(out, 'result.json'));
    await fs.writeFile(results, answers.slice(0, answers.length * 0.4));
    expect((await again('--resume')).status).toBe(0);
    expect(await fs.readFile(results, 'utf8')).toBe(answers);
    expect(await fs.readFile(path.join(out, 'result.json'), 'utf8')).toBe(result);
    const other = await again('--resume', '--tokens', '5');
    expect(other.error).toMatchObject({ code: 'config_differs' });
    expect(other.error.message).toContain('settings');
    const shown = await runMain([
      ...['prompt', 'evaluate', model, '--data', data, '--home', home, '--out', out, '--resume'],
      ...[...both(), '--metric', 'exact-match,contains', '--threads', '1'],
    ]);
    expect(shown.out).toMatch(/exact-match +95 % +p/);
  });

  test.each([
    ['an unknown metric', ['--metric', 'bleu'], '', 'metric_unknown'],
    ['a line that is no JSON', [], 'x\n', 'task_invalid'],
    ['a list', [], '[1]\n', 'task_invalid'],
    ['no answer', [], '{"question":"cat"}\n', 'task_invalid'],
    ['an empty file', [], '\n', 'data_empty'],
    ['no value', [], '{"animal":"cat","answer":"meow"}\n', 'variable_missing'],
    ['no choices', ['--metric', 'choice'], '', 'choices_missing'],
  ])('%s is refused', async (_, words, content, code) => {
    const given = content === '' ? [] : ['--data', await file('bad.jsonl', content)];
    const base = ['prompt', 'evaluate', model, '--home', home, '--threads', '1', '--json'];
    const source = given.length > 0 ? given : ['--data', data];
    const out = path.join(folder, 'refused');
    const { error } = await runMain([...base, ...source, ...both(), '--out', out, '--force', ...words]);
    expect(error.code).toBe(code);
  });

  test('the same prompt twice is refused, and leaves nothing', async () => {
    const out = path.join(folder, 'twice');
    const same = ['--prompt', path.join(folder, 'ask.txt')];
    expect((await evaluate(...same, ...same, '--out', out)).error.code).toBe('prompts_same');
    await expect(fs.access(out)).rejects.toThrow();
  });
});

describe('few-shot', () => {
  const ask = (...words: string[]): ReturnType<typeof runMain> =>
    runMain([
      ...['few-shot', model, '--data', data, '--examples', pool, '--threads', '1', '--json'],
      ...['--out', path.join(folder, 'shots'), '--force', ...words],
    ]);

  test('asks with none, one and two examples: a choice by likelihood', async () => {
    const { json, status } = await ask('--shots', '0,1,2', '--choices', 'meow,bark,moo');
    expect(status).toBe(0);
    const variants = json.variants as {
      name: string;
      scores: { choice: { value: number } };
      against_first?: object;
    }[];
    expect(variants.map(({ name }) => name)).toEqual([
      'question, 0 examples',
      'question, 1 example',
      'question, 2 examples',
    ]);
    expect(json.metrics).toEqual(['choice']);
    expect(variants[0]?.scores.choice.value).toBe(1);
    expect(variants[2]?.against_first).toBeDefined();
    const lines = (await fs.readFile(path.join(folder, 'shots', 'results.jsonl'), 'utf8'))
      .trimEnd()
      .split('\n');
    expect(lines.map((line) => JSON.parse(line)).every(({ nats }) => nats.length === 3)).toBe(true);
  });

  test('and completions', async () => {
    const { json } = await ask('--shots', '0', '--metric', 'completion,exact-match');
    expect((json.variants as { scores: object }[])[0]?.scores).toMatchObject({
      completion: { value: 1, count: 6 },
      'exact-match': { value: 1 },
    });
  });

  test.each([
    ['more examples than there are', ['--shots', '4'], 'examples_few'],
    ['no numbers', ['--shots', 'many'], 'invalid_input'],
    ['a prompt without a place', ['--prompt', 'ask.txt'], 'examples_missing'],
    ['examples without the field', ['--example', '{{question}} {{reply}}'], 'example_invalid'],
  ])('%s are refused', async (_, words, code) => {
    const given = words.map((word) => (word === 'ask.txt' ? path.join(folder, word) : word));
    expect((await ask(...given)).error.code).toBe(code);
  });
});
