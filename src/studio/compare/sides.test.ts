import { describe, expect, it } from 'vitest';
import type { ModelInfo } from '../api/types.ts';
import { inputVariable } from './prompts.ts';
import {
  EMPTY_SETUP,
  EMPTY_SIDE,
  nameOf,
  packed,
  rendered,
  requestOf,
  type Setup,
  unpacked,
} from './sides.ts';

const base = { id: 'base', chat: false } as ModelInfo;
const chat = { id: 'sage', chat: true } as ModelInfo;
const setup: Setup = {
  ...EMPTY_SETUP,
  input: 'ink 墨 “x”',
  blind: true,
  a: { ...EMPTY_SIDE, model: 'base' },
  b: {
    ...EMPTY_SIDE,
    ...{ model: 'sage', template: 'Say: {{input}}!', system: 'Be brief.' },
    settings: { ...EMPTY_SIDE.settings, seed: undefined, temperature: 0 },
  },
};

describe('a prompt', () => {
  it('takes the input where its place is, as often as it stands there, and reads nothing in it', () => {
    expect(rendered('{{input}} and {{input}}', 'a {{input}} $&')).toBe('a {{input}} $& and a {{input}} $&');
  });

  it('becomes a text for a base model and turns for one that converses', () => {
    expect(requestOf(setup, 'a', base)).toMatchObject({ model: 'base', input: { prompt: 'ink 墨 “x”' } });
    expect(requestOf(setup, 'b', chat).input).toEqual({
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Say: ink 墨 “x”!' },
      ],
    });
    const two: Setup = { ...setup, mode: 'separate', a: { ...setup.a, input: 'own' } };
    expect(requestOf(two, 'a', base).input).toEqual({ prompt: 'own' });
  });
});

describe('a name', () => {
  it('is the model’s, with what else is special; the seed is not', () => {
    expect(nameOf({ ...EMPTY_SIDE, settings: { ...EMPTY_SIDE.settings, seed: 7 } }, 'base')).toBe('base');
    expect(nameOf(setup.b, 'sage')).toBe('sage · “Say: {{input}}!” · [Be brief.] · T 0');
  });
});

describe('a registered prompt', () => {
  it('takes the place of the template, as the server filled it in', () => {
    const named: Setup = { ...setup, a: { ...setup.a, registered: 'greet' } };
    expect(requestOf(named, 'a', base, { prompt: 'Hello, ink.' }).input).toEqual({ prompt: 'Hello, ink.' });
    const messages = [{ role: 'user' as const, content: 'Hello' }];
    const turns = requestOf({ ...setup, b: { ...EMPTY_SIDE } }, 'b', chat, {
      prompt: 'User: Hello',
      messages,
    });
    expect(turns.input).toEqual({ messages });
    expect(nameOf(named.a, 'base')).toBe('base · @greet');
  });

  it('gets the input under the variable that it asks for', () => {
    expect(inputVariable({ text: 'Q: {{question}}\n{{examples}}' })).toBe('question');
    expect(inputVariable({ text: '{{tone}} {{input}}' })).toBe('input');
    expect(inputVariable({ messages: [{ content: '{{#many}}x{{/many}}' }, {}] })).toBe('many');
    expect(inputVariable({ text: '\\{{plain}}', variables: { word: {} } })).toBe('word');
    expect(inputVariable({})).toBe('input');
  });
});

describe('an address', () => {
  it('holds the whole comparison, and little else', () => {
    expect(unpacked(packed(setup))).toEqual(setup);
    expect(packed(setup)).toMatch(/^[\w-]+$/);
    expect(packed(EMPTY_SETUP)).toBe('e30');
  });

  it('may be anybody’s: what is off falls back', () => {
    expect(unpacked('%%%')).toBeUndefined();
    expect(unpacked('bm90IGpzb24')).toBeUndefined();
    const odd = {
      mode: 7,
      input: {},
      blind: 'yes',
      a: { model: 3, settings: { temperature: 99, topK: 'x' } },
      b: null,
    };
    const read = unpacked(btoa(JSON.stringify(odd)));
    expect(read).toEqual({
      ...EMPTY_SETUP,
      a: { ...EMPTY_SIDE, settings: { ...EMPTY_SIDE.settings, temperature: 2 } },
    });
  });
});
