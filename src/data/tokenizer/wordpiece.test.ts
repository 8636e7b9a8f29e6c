/** WordPiece against Hugging Face's `tokenizers` on nasty texts, and what is learned here. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readTokenizer } from './read.ts';
import {
  basicWords,
  trainWordPiece,
  WORDPIECE_SPECIAL,
  WordPieceCounter,
  WordPieceTokenizer,
} from './wordpiece.ts';

const golden = JSON.parse(readFileSync(new URL('golden/wordpiece.json', import.meta.url), 'utf8')) as {
  file: object;
  texts: [string, number[]][];
};

test.each(golden.texts)('the ids of %j', (text, ids) => {
  expect(readTokenizer(JSON.stringify(golden.file)).encode(text)).toEqual(ids);
});

test('what is learned reads back from its own file and knows its words', () => {
  const counter = new WordPieceCounter();
  for (let i = 0; i < 20; i++) counter.add('The words of the world are worn; wording WORDS!');
  const learned = trainWordPiece(counter.counts, 60);
  expect(learned.vocabularySize).toBeLessThanOrEqual(60);
  expect(WORDPIECE_SPECIAL.map((name) => learned.special(name))).toEqual([0, 1, 2, 3, 4]);
  const again = readTokenizer(learned.toJson());
  const text = 'The wording of worlds.';
  expect(again).toBeInstanceOf(WordPieceTokenizer);
  expect(again.encode(text)).toEqual(learned.encode(text));
  expect(learned.decode(learned.encode(text))).toBe('the wording of worlds [UNK]'.replace(' [UNK]', ''));
  expect(learned.encode('words')).toHaveLength(1);
});

test('words, marks and Chinese characters stand apart', () => {
  expect(basicWords("It's Café 北京!")).toEqual(['it', "'", 's', 'cafe', '北', '京', '!']);
  expect(basicWords('Café', false)).toEqual(['Café']);
});

test('too small a vocabulary and one without special tokens are refused', () => {
  expect(() => trainWordPiece(new Map([['a', 1]]), 5)).toThrow(/too few/);
  expect(() => new WordPieceTokenizer(['a', '[UNK]'])).toThrow(/\[PAD\]/);
});
