/** Words as tokens: nothing of a text is lost, frequent words are one token, the others fall back to characters. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readTokenizer } from './read.ts';
import { cutWords, WordsCounter, WordsTokenizer } from './words.ts';

const text =
  '机器学习模型正在改变世界。我们用机器学习写诗，也用模型写小说。The model reads, the model writes.\n'.repeat(
    3,
  );
function learned(size: number): WordsTokenizer {
  const counter = new WordsCounter();
  counter.add(text);
  return WordsTokenizer.train(counter, size);
}

describe('words', () => {
  const tokenizer = learned(90);

  test('cutting keeps every character', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 60 }),
        (any) => void expect(cutWords(any).join('')).toBe(any),
      ),
      { numRuns: 200 },
    );
    expect(cutWords('我们用机器学习写诗')).toEqual(['我们', '用', '机器', '学习', '写诗']);
  });

  test('frequent words are one token; a word without one is written in characters', () => {
    expect(tokenizer.encode('机器学习')).toHaveLength(2);
    expect(tokenizer.encode('model')).toHaveLength(1);
    // Known characters in a word that never came.
    expect(tokenizer.encode('modes')).toHaveLength(5);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    expect(tokenizer.vocabularySize).toBeLessThanOrEqual(90);
  });

  test('the file gives the same tokenizer', () => {
    const again = readTokenizer(tokenizer.toJson());
    expect(again).toBeInstanceOf(WordsTokenizer);
    expect(again.encode(text)).toEqual(tokenizer.encode(text));
    expect(again.toJson()).toBe(tokenizer.toJson());
  });

  test('characters that were never seen are told, or left out', () => {
    expect(() => tokenizer.encode('机器β')).toThrow(/"β"/);
    expect(tokenizer.encode('机器β', { unknown: 'skip' })).toEqual(tokenizer.encode('机器'));
  });

  test('a vocabulary without room for the characters is refused', () => {
    expect(() => learned(10)).toThrow(/different characters/);
    const least = new Set(text).size;
    expect(learned(least).encode('model')).toHaveLength(5);
    expect(learned(5000).vocabularySize).toBeGreaterThan(least);
  });

  test('a damaged file is refused', () => {
    const file = (vocab: object): string => JSON.stringify({ model: { type: 'InkstoneWords', vocab } });
    expect(() => readTokenizer(file({ 机器: 0, 机: 1 }))).toThrow(/behind words/);
    expect(() => readTokenizer(file({ 机: 0, 器: 0 }))).toThrow(/twice/);
  });
});
