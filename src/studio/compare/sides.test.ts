import { describe, expect, it } from 'vitest';
import type { ModelInfo } from '../api/types.ts';
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
