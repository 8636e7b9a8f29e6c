import { describe, expect, it } from 'vitest';
import { emptyForm, suggestedName, toRequest, wrongFields } from './form.ts';

const some = { title: '', description: '', parameters: 1, steps: 1 };
const PRESETS = [
  { ...some, id: 'small', context: 1, tokenizer: '' },
  { ...some, id: 'pair', size: 28, channels: 1, losses: ['non-saturating', 'hinge'] },
];
const RIGHT = { ...emptyForm(PRESETS), file: { id: 'f', name: 'a.txt' }, name: 'a' };

describe('wrongFields', () => {
  it('accepts a right form, with and without numbers', () => {
    expect(wrongFields(RIGHT, PRESETS)).toEqual([]);
    expect(wrongFields({ ...RIGHT, steps: ' 200 ', seed: '0' }, PRESETS)).toEqual([]);
  });

  it('names each field that is wrong, in their order', () => {
    const wrong = { ...RIGHT, file: undefined, preset: 'huge', name: '', steps: '0', seed: '-1' };
    Object.assign(wrong, { size: '18', crop: '51', jitter: 'much' });
    expect(wrongFields(wrong, PRESETS)).toEqual([
      ...['file', 'preset', 'name', 'size', 'crop', 'jitter', 'steps', 'seed'],
    ]);
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

it('sends only what was given', () => {
  const send = (part: object) => toRequest({ ...RIGHT, ...part }, PRESETS);
  expect(send({})).toEqual({ name: 'a', file: 'f', preset: 'small' });
  expect(send({ steps: '5', seed: '0' })).toMatchObject({ steps: 5, seed: 0 });
  expect(send({ size: '32', colour: true })).toMatchObject({ size: 32, colour: true });
  expect(send({ flip: true, crop: '12.5', jitter: '0' })).toEqual({
    ...{ name: 'a', file: 'f', preset: 'small', flip: true, crop: 0.125 },
  });
  expect(send({ preset: 'pair', loss: 'hinge', jitter: '20' })).toMatchObject({ loss: 'hinge', jitter: 0.2 });
  // Its own, and one of another kind, go without saying.
  for (const part of [{ preset: 'pair', loss: 'non-saturating' }, { loss: 'hinge' }])
    expect(send(part)).not.toHaveProperty('loss');
});

it('suggests a free name that the form accepts', () => {
  expect(suggestedName('My Novel (2).txt', [])).toBe('my-novel-2');
  expect(suggestedName('poems.jsonl.gz', ['poems'])).toBe('poems-2');
  expect(suggestedName('Émile.tar.gz', [])).toBe('emile');
  for (const file of ['唐诗.txt', '...', '.txt', '---.md', 'x'.repeat(300)]) {
    expect(wrongFields({ ...RIGHT, name: suggestedName(file, []) }, PRESETS)).toEqual([]);
  }
});
