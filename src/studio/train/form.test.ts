import { describe, expect, it } from 'vitest';
import { suggestedName, toRequest, wrongFields } from './form.ts';

const PRESETS = [
  { id: 'small', title: '', description: '', parameters: 1, context: 1, steps: 1, tokenizer: '' },
];
const RIGHT = {
  file: { id: 'f', name: 'a.txt' },
  preset: 'small',
  name: 'a',
  steps: '',
  seed: '',
  size: '',
  colour: false,
};

describe('wrongFields', () => {
  it('accepts a right form, with and without numbers', () => {
    expect(wrongFields(RIGHT, PRESETS)).toEqual([]);
    expect(wrongFields({ ...RIGHT, steps: ' 200 ', seed: '0' }, PRESETS)).toEqual([]);
  });

  it('names each field that is wrong, in their order', () => {
    const wrong = { ...RIGHT, file: undefined, preset: 'huge', name: '', size: '18', steps: '0', seed: '-1' };
    expect(wrongFields(wrong, PRESETS)).toEqual(['file', 'preset', 'name', 'size', 'steps', 'seed']);
  });

  it.each(['-a', '.a', 'a b', 'ä', 'a/b', '../x', 'x'.repeat(65)])('refuses the name %s', (name) => {
    expect(wrongFields({ ...RIGHT, name }, PRESETS)).toEqual(['name']);
  });

  it.each(['15', '18', '22', '129', '200', '32.5'])('refuses pictures of %s pixels', (size) => {
    expect(wrongFields({ ...RIGHT, size }, PRESETS)).toEqual(['size']);
  });

  it.each(['16', '28', '32', '48', '64', '80', '96', '112', '128'])('takes pictures of %s', (size) => {
    expect(wrongFields({ ...RIGHT, size }, PRESETS)).toEqual([]);
  });

  it.each(['1.5', 'ten', '1e99', 'NaN', '1_000'])('refuses %s steps', (steps) => {
    expect(wrongFields({ ...RIGHT, steps }, PRESETS)).toEqual(['steps']);
  });
});

it('sends numbers only where they were given', () => {
  expect(toRequest(RIGHT)).toEqual({ name: 'a', file: 'f', preset: 'small' });
  expect(toRequest({ ...RIGHT, steps: '5', seed: '0' })).toMatchObject({ steps: 5, seed: 0 });
  expect(toRequest({ ...RIGHT, size: '32', colour: true })).toMatchObject({ size: 32, colour: true });
});

it('suggests a free name that the form accepts', () => {
  expect(suggestedName('My Novel (2).txt', [])).toBe('my-novel-2');
  expect(suggestedName('poems.jsonl.gz', ['poems'])).toBe('poems-2');
  expect(suggestedName('Émile.tar.gz', [])).toBe('emile');
  for (const file of ['唐诗.txt', '...', '.txt', '---.md', 'x'.repeat(300)]) {
    expect(wrongFields({ ...RIGHT, name: suggestedName(file, []) }, PRESETS)).toEqual([]);
  }
});
