import { expect, test } from 'vitest';
import { WordCounter } from './bpe-train.ts';
import { keepFrequent } from './frequent.ts';

test('below the bound nothing is lost; above it the rarest go, the same each time', () => {
  const few = new Map([
    ['a', 1],
    ['b', 2],
  ]);
  keepFrequent(few, 2);
  expect([...few]).toEqual([
    ['a', 1],
    ['b', 2],
  ]);
  const many = new Map(Array.from({ length: 10 }, (_, i) => [`w${i}`, 1 + Math.floor(i / 2)] as const));
  keepFrequent(many, 8);
  expect([...many.keys()]).toEqual(['w6', 'w7', 'w8', 'w9']);
});

test('a corpus of endless new words is counted in bounded room, and frequent words are counted right', () => {
  const counter = new WordCounter(100);
  let largest = 0;
  for (let i = 0; i < 500; i++) {
    counter.add(
      ` often new${String.fromCharCode(97 + (i % 26))}${'x'.repeat(1 + (i % 19))}${'y'.repeat(i / 20)}`,
    );
    largest = Math.max(largest, counter.counts.size);
  }
  expect(largest).toBeLessThanOrEqual(102);
  expect(counter.counts.get(' often')).toBe(500);
});
