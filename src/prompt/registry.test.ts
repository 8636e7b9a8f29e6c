/** The registry on a real store: versions never change, labels move, histories and differences; and chat templates. */
import { promises as fs, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Store } from '../base/contracts/store.ts';
import { makeTemporaryFolder } from '../base/host.ts';
import type { Turn } from '../data/text/chat.ts';
import { openFileStore } from '../store/index.ts';
import { CHAT_TEMPLATES, jinjaTemplate, modelTemplate } from './chat-template.ts';
import { differenceOf } from './difference.ts';
import { PromptRegistry } from './registry.ts';

let folder: string;
let store: Store;
let prompts: PromptRegistry;
beforeAll(async () => {
  folder = await makeTemporaryFolder('inkstone-prompts');
  store = await openFileStore(folder);
  prompts = new PromptRegistry(store);
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

describe('the registry', () => {
  test('gives each change a version and keeps the ones before', async () => {
    const first = await prompts.add('greet', { text: 'Hi {{name}}' }, { note: 'begun' });
    expect(first).toMatchObject({ name: 'greet', version: 1, added: true, note: 'begun' });
    const second = await prompts.add('greet', { text: 'Hello {{name}}' });
    expect(second).toMatchObject({ version: 2, added: true });
    expect((await prompts.get('greet@1')).definition.text).toBe('Hi {{name}}');
    expect((await prompts.get('greet')).version).toBe(2);
    // The same again is no new version, whatever the order of its fields.
    const again = await prompts.add('greet', { text: 'Hello {{name}}' });
    expect(again).toMatchObject({ version: 2, added: false, hash: second.hash });
    // Going back is a new version.
    expect(await prompts.add('greet', { text: 'Hi {{name}}' })).toMatchObject({
      version: 3,
      hash: first.hash,
    });
  });

  test('points labels at versions and remembers where they pointed', async () => {
    await prompts.label('greet@1', 'production');
    expect((await prompts.get('greet@production')).version).toBe(1);
    await prompts.label('greet@2', 'production');
    await prompts.label('greet@3', 'staging');
    expect(await prompts.get('greet@2')).toMatchObject({ labels: ['production'] });
    await prompts.label('greet@3', 'staging', true);
    const { versions, moves, labels } = await prompts.history('greet');
    expect(labels).toEqual({ production: 2 });
    expect(versions.map(({ version, labels: own }) => [version, own])).toEqual([
      [3, []],
      [2, ['production']],
      [1, []],
    ]);
    expect(moves.map(({ label, version }) => [label, version])).toEqual([
      ['staging', null],
      ['staging', 3],
      ['production', 2],
      ['production', 1],
    ]);
    await prompts.add('greet', { text: 'Hey {{name}}' }, { label: 'production' });
    expect((await prompts.get('greet@production')).version).toBe(4);
  });

  test('survives a restart, and many writers in one process get a version each', async () => {
    const made = await Promise.all(
      Array.from({ length: 8 }, (_, i) => prompts.add('busy', { text: `text ${i}` })),
    );
    expect(made.map(({ version }) => version).sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const again = new PromptRegistry(await openFileStore(folder));
    for (const { version, definition } of made)
      expect((await again.get(`busy@${version}`)).definition).toEqual(definition);
    expect((await again.list()).map(({ name, latest }) => [name, latest])).toEqual([
      ['busy', 8],
      ['greet', 4],
    ]);
  });

  test('a version that a kill left without its head is not written over', async () => {
    const row = {
      id: 'half@00000001',
      name: 'half',
      version: 1,
      definition: { text: 'lost' },
      hash: 'x',
      created: 1,
    };
    await store.rows.put('prompt-versions', row);
    expect(await prompts.add('half', { text: 'kept' })).toMatchObject({ version: 2 });
    expect(await store.rows.get('prompt-versions', 'half@00000001')).toEqual(row);
    expect((await prompts.history('half')).versions.map(({ version }) => version)).toEqual([2, 1]);
  });

  test('shows what changed', async () => {
    await prompts.add('changed', { text: 'one\ntwo\nthree', variables: {} });
    await prompts.add('changed', { text: 'one\n2\nthree\nfour', variables: {}, lead: '' });
    const { lines, same } = await prompts.diff('changed', '1', 'latest');
    expect(same).toBe(false);
    expect(lines.filter(({ kind }) => kind !== 'same').map(({ kind, text }) => [kind, text.trim()])).toEqual([
      ['removed', 'two'],
      ['added', '2'],
      ['added', 'four'],
      ['added', '"lead": "",'],
    ]);
    expect((await prompts.diff('changed', '1', '1')).same).toBe(true);
  });

  test.each([
    ['Loud', { text: 'x' }, {}, 'name_invalid'],
    ['a@b', { text: 'x' }, {}, 'name_invalid'],
    ['fine', { text: '{{' }, {}, 'template_invalid'],
    ['fine', { text: 'x' }, { label: 'latest' }, 'label_invalid'],
    ['fine', { text: 'x' }, { label: '3' }, 'label_invalid'],
  ])('%s %j %j is refused and leaves nothing', async (name, value, options, code) => {
    await expect(prompts.add(name, value, options)).rejects.toMatchObject({ code, kind: 'usage' });
    expect((await prompts.list()).map((one) => one.name)).not.toContain(name);
  });
  test.each([
    ['gret', 'prompt_not_found'],
    ['../greet', 'prompt_not_found'],
    ['greet@99', 'prompt_version_not_found'],
    ['greet@nowhere', 'prompt_version_not_found'],
  ])('%s is not there', async (reference, code) => {
    await expect(prompts.get(reference)).rejects.toMatchObject({ code, kind: 'missing' });
  });
});

test('differences are shortest and give both texts back', () => {
  const before = [...'abcabba'];
  const after = [...'cbabac'];
  const lines = differenceOf(before, after);
  expect(lines.filter(({ kind }) => kind !== 'same')).toHaveLength(5);
  const side = (other: string): string[] =>
    lines.filter(({ kind }) => kind !== other).map(({ text }) => text);
  expect(side('added')).toEqual(before);
  expect(side('removed')).toEqual(after);
});

describe('chat templates', () => {
  const golden = JSON.parse(readFileSync(new URL('golden/chat-templates.json', import.meta.url), 'utf8')) as {
    cases: { name: string; template: string; messages: Turn[]; text: string | null }[];
  };
  test.each(golden.cases.map((one) => [one.name, one] as const))(
    '%s: as transformers',
    async (_, { template, messages, text }) => {
      const made = jinjaTemplate('golden', template, { bos_token: '<s>', eos_token: '</s>' });
      if (text === null)
        await expect(made.render(messages)).rejects.toMatchObject({ code: 'chat_template_failed' });
      else expect(await made.render(messages)).toBe(text);
    },
  );
  test('by name', async () => {
    const turns: Turn[] = [
      { role: 'system', content: 'S' },
      { role: 'user', content: 'U' },
    ];
    expect(await CHAT_TEMPLATES.plain?.render(turns)).toBe('System: S\n\nUser: U\n\nAssistant:');
    expect(await CHAT_TEMPLATES.chatml?.render(turns)).toBe(
      '<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n',
    );
    expect(await CHAT_TEMPLATES.llama3?.render(turns)).toContain(
      '<|begin_of_text|><|start_header_id|>system',
    );
  });
  test('of a model: in a thread with bounds', async () => {
    const turns: Turn[] = [{ role: 'user', content: 'U' }];
    const own = modelTemplate({ source: '{{ bos_token }}{{ messages[0].content }}', bos: '<b>' });
    expect(await own.render(turns)).toBe('<b>U');
    const broken = modelTemplate({ source: '{% for %}' });
    await expect(broken.render(turns)).rejects.toMatchObject({ code: 'template_failed' });
    expect(() => jinjaTemplate('broken', '{% for %}')).toThrow('cannot be read');
  });
});
