import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BpeTokenizer } from './bpe.ts';
import { Merger } from './bpe-merge.ts';
import { trainBpe, WordCounter } from './bpe-train.ts';
import { byteOrder, byteToCharacter } from './byte-alphabet.ts';
import { CharacterTokenizer } from './characters.ts';
import { readTokenizer } from './read.ts';
import { StreamDecoder } from './tokenizer.ts';

type Golden = { json: string; cases: { text: string; ids: number[] }[] };
const golden = JSON.parse(readFileSync(new URL('./golden/tokenizers.json', import.meta.url), 'utf8')) as {
  bpe: Golden;
  characters: Golden;
};

const corpus =
  `the cat sat on the mat. The cats sat; it's what they'd do. ${'ab'.repeat(30)} über Wölken 春眠不覺曉 🙂🙂\n`.repeat(
    20,
  );

function learned(size: number, text = corpus): BpeTokenizer {
  const words = new WordCounter();
  words.add(text);
  return trainBpe(words.counts, size);
}

/** Any Unicode text, and text that looks like text: both kinds find different faults. */
const anyText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 80 }),
  fc.string({ unit: fc.constantFrom(..." \t\r\n'stheTHE19.,-üé春🙂\u00a0\u0085\ufeff"), maxLength: 200 }),
  fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 300 }),
);

describe('equality with Hugging Face', () => {
  const bpe = readTokenizer(golden.bpe.json);
  test.each(golden.bpe.cases)('byte-level BPE: $text', ({ text, ids }) => {
    expect(bpe.encode(text)).toEqual(ids);
    expect(bpe.decode(ids)).toBe(text);
  });
  const characters = readTokenizer(golden.characters.json);
  test.each(golden.characters.cases)('characters: $text', ({ text, ids }) => {
    expect(characters.encode(text)).toEqual(ids);
    expect(characters.decode(ids)).toBe(text);
  });
  test('a file of theirs that we write again gives the same ids', () => {
    const again = readTokenizer(bpe.toJson());
    for (const { text, ids } of golden.bpe.cases) expect(again.encode(text)).toEqual(ids);
    expect(again.endOfText).toBe(bpe.endOfText);
    expect(again.vocabularySize).toBe(bpe.vocabularySize);
  });
});

describe('byte-level BPE', () => {
  const tokenizer = learned(400);

  test('the first 256 tokens are the bytes, the last is the end of text', () => {
    expect(new Set(byteToCharacter).size).toBe(256);
    expect([...byteOrder].sort((a, b) => a - b)).toEqual(Array.from({ length: 256 }, (_, i) => i));
    expect(tokenizer.bytes(0)).toEqual(Uint8Array.of(33));
    expect(tokenizer.endOfText).toBe(tokenizer.vocabularySize - 1);
    expect(tokenizer.bytes(tokenizer.endOfText as number)).toHaveLength(0);
    expect(tokenizer.vocabularySize).toBeGreaterThan(300);
  });

  test('round trip of any text', () => {
    fc.assert(
      fc.property(anyText, (text) => void expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)),
      { numRuns: 300 },
    );
  });

  test('tokenizer.json round trip gives the same ids', () => {
    const again = readTokenizer(tokenizer.toJson());
    expect(again.toJson()).toBe(tokenizer.toJson());
    fc.assert(
      fc.property(anyText, (text) => void expect(again.encode(text)).toEqual(tokenizer.encode(text))),
      { numRuns: 200 },
    );
  });

  test('both ways of merging give the same', () => {
    const merge = new Merger(tokenizer.parts.merges);
    const ids = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 120 });
    const letters = fc.array(fc.constantFrom(...tokenizer.encode('abthe s')), { maxLength: 120 });
    fc.assert(
      fc.property(
        fc.oneof(ids, letters),
        (word) => void expect(merge.long([...word])).toEqual(merge.short([...word])),
      ),
      { numRuns: 400 },
    );
  });

  test('learning depends on the counts alone and merges the most frequent pair first', () => {
    const words = new Map([
      [' low', 5],
      [' lower', 2],
      [' newest', 6],
      [' widest', 3],
    ]);
    const one = trainBpe(words, 270);
    const two = trainBpe(new Map([...words].reverse()), 270);
    expect(two.toJson()).toBe(one.toJson());
    // es, est and " n…": Sennrich et al. 2016, with 9 times "es" and "st".
    const first = one.parts.merges.slice(0, 2).map(([, , id]) => new TextDecoder().decode(one.bytes(id)));
    expect(first).toEqual(['es', 'est']);
  });

  test('learning against a plain implementation', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' '), minLength: 10, maxLength: 120 });
    fc.assert(
      fc.property(text, (sample) => {
        const words = new WordCounter();
        words.add(sample);
        expect(trainBpe(words.counts, 270).parts.merges).toEqual(plainMerges(words.counts, 270));
      }),
      { numRuns: 60 },
    );
  });

  test('a vocabulary too small is refused; too little text gives a smaller one', () => {
    expect(() => learned(256)).toThrow(/at least 257/);
    expect(() => learned(300.5)).toThrow();
    expect(learned(257).parts.merges).toHaveLength(0);
    expect(learned(5000, 'a b').vocabularySize).toBe(257);
  });

  test('a character that is cut between tokens is held back', () => {
    const stream = new StreamDecoder(learned(257));
    const ids = learned(257).encode('é🙂x');
    expect(ids).toHaveLength(7);
    expect(ids.map((id) => stream.push(id))).toEqual(['', 'é', '', '', '', '🙂', 'x']);
    stream.push(ids[2] as number);
    expect(stream.end()).toBe('\ufffd');
    expect(learned(257).decode(ids.slice(0, 1))).toBe('\ufffd');
  });
});

/** Sennrich et al., algorithm 1 as it stands there: counts all pairs anew for each merge. */
function plainMerges(words: ReadonlyMap<string, number>, size: number): number[][] {
  const bytes = new Map(byteOrder.map((byte, id) => [byte, id]));
  const list = [...words].map(([word, count]) => ({
    count,
    ids: [...new TextEncoder().encode(word)].map((byte) => bytes.get(byte) as number),
  }));
  const merges: number[][] = [];
  while (256 + merges.length < size - 1) {
    const counts = new Map<string, number>();
    for (const { count, ids } of list)
      for (let i = 0; i + 1 < ids.length; i++)
        counts.set(`${ids[i]},${ids[i + 1]}`, (counts.get(`${ids[i]},${ids[i + 1]}`) ?? 0) + count);
    const best = [...counts]
      .map(([pair, count]) => ({ count, pair: pair.split(',').map(Number) as [number, number] }))
      .sort((a, b) => b.count - a.count || a.pair[0] - b.pair[0] || a.pair[1] - b.pair[1])[0];
    if (best === undefined || best.count < 2) break;
    const id = 256 + merges.length;
    merges.push([...best.pair, id]);
    for (const word of list) {
      const next: number[] = [];
      for (let i = 0; i < word.ids.length; i++) {
        const hit = word.ids[i] === best.pair[0] && word.ids[i + 1] === best.pair[1];
        next.push(hit ? id : (word.ids[i] as number));
        if (hit) i++;
      }
      word.ids = next;
    }
  }
  return merges;
}

describe('characters', () => {
  test('ids follow the code points; astral characters are one', () => {
    const tokenizer = CharacterTokenizer.fromCharacters('b🙂a\uffff春');
    expect(tokenizer.encode('ab春\uffff🙂')).toEqual([0, 1, 2, 3, 4]);
    expect(tokenizer.vocabularySize).toBe(5);
    expect(tokenizer.endOfText).toBeUndefined();
    expect(tokenizer.bytes(9)).toHaveLength(0);
  });

  test('round trip, also of the file', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }), (text) => {
        const tokenizer = CharacterTokenizer.fromCharacters(text);
        const ids = tokenizer.encode(text);
        expect(tokenizer.decode(ids)).toBe(text);
        const again = readTokenizer(tokenizer.toJson());
        expect(again.encode(text)).toEqual(ids);
      }),
      { numRuns: 200 },
    );
  });

  test('an unknown character is named, or left out where asked', () => {
    const tokenizer = CharacterTokenizer.fromCharacters('ab');
    expect(() => tokenizer.encode('aΩ')).toThrow(/"Ω" \(U\+03A9\)/);
    expect(tokenizer.encode('aΩb', { unknown: 'skip' })).toEqual([0, 1]);
  });
});

test('tokens may have the names of what every object has', () => {
  const text = 'constructor toString valueOf '.repeat(9);
  const tokenizer = learned(300, text);
  expect(tokenizer.encode('constructor')).toHaveLength(1);
  const again = readTokenizer(tokenizer.toJson());
  expect(again.encode(text)).toEqual(tokenizer.encode(text));
  expect(again.toJson()).toBe(tokenizer.toJson());
});

describe('tokenizer.json that cannot be used', () => {
  const file = (changes: object, model: object = {}): string =>
    JSON.stringify({
      pre_tokenizer: null,
      model: { type: 'BPE', vocab: { a: 0, b: 1 }, merges: [], ...model },
      ...changes,
    });
  const level = { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false } };
  const split = (Regex: string) => ({
    pre_tokenizer: { type: 'Split', pattern: { Regex }, behavior: 'Isolated' },
  });
  const unigram = (vocab: unknown[], unk_id = 0): string =>
    JSON.stringify({ model: { type: 'Unigram', vocab, unk_id } });
  const deep = (levels: number): object =>
    levels === 0 ? { type: 'NFC' } : { type: 'Sequence', normalizers: [deep(levels - 1)] };
  test.each([
    ['no JSON', '{', 'tokenizer_invalid'],
    ['no model', '{}', 'tokenizer_invalid'],
    ['another type', file({}, { type: 'Morphemes' }), 'tokenizer_unsupported'],
    ['another pre-tokenizer', file({ pre_tokenizer: { type: 'Syllables' } }), 'tokenizer_unsupported'],
    ['another normalizer', file({ normalizer: { type: 'Rot13' } }), 'tokenizer_unsupported'],
    ['another decoder', file({ decoder: { type: 'Rot13' }, ...split('a') }), 'tokenizer_unsupported'],
    [
      'another post-processor',
      file({ post_processor: { type: 'Rot13' }, ...split('a') }),
      'tokenizer_unsupported',
    ],
    ['dropout', file(split('a'), { dropout: 0.1 }), 'tokenizer_unsupported'],
    ['a pattern that is none', file(split('(a')), 'tokenizer_invalid'],
    ['a pattern with what is not known', file(split('a(?<n>b)')), 'tokenizer_unsupported'],
    ['a pattern without end', file(split('a'.repeat(9000))), 'tokenizer_unsupported'],
    ['parts without fields', file({ pre_tokenizer: { type: 'Split' } }), 'tokenizer_invalid'],
    ['sequences without end', file({ normalizer: deep(12) }), 'tokenizer_unsupported'],
    [
      'merges in a circle',
      file(level, { vocab: { a: 0, ab: 1, b: 2 }, merges: ['a b'], continuing_subword_prefix: '' }).replace(
        '"merges":["a b"]',
        '"merges":[["a","b"],["ab",""]]',
      ),
      'tokenizer_invalid',
    ],
    [
      'merges in a circle through the mark of inner parts',
      file(split('x'), {
        vocab: { a: 0, '##': 1, b: 2 },
        merges: [['a', '##']],
        continuing_subword_prefix: '##',
      }),
      'tokenizer_invalid',
    ],
    ['a merge of one token', file(level, { merges: ['a'] }), 'tokenizer_invalid'],
    ['a merge of three tokens', file(level, { merges: ['a b c'] }), 'tokenizer_invalid'],
    ['an id past any vocabulary', file(split('x'), { vocab: { a: 0, b: 4e9 } }), 'tokenizer_invalid'],
    ['ids that are mostly holes', file(split('x'), { vocab: { a: 0, b: 60_000 } }), 'tokenizer_invalid'],
    [
      'an added token with the id of another',
      file({ ...split('x'), added_tokens: [{ id: 1, content: 'c' }] }),
      'tokenizer_invalid',
    ],
    ['an unknown token that is unknown', file(split('x'), { unk_token: '<unk>' }), 'tokenizer_invalid'],
    ['scores that are none', unigram([['a', '1']]), 'tokenizer_invalid'],
    ['no tokens', unigram([]), 'tokenizer_invalid'],
    ['an unknown id outside', unigram([['a', -1]], 7), 'tokenizer_invalid'],
    [
      'a map of characters that lies about its length',
      file({ normalizer: { type: 'Precompiled', precompiled_charsmap: 'AAAAEAAAAAA=' } }),
      'tokenizer_invalid',
    ],
    ['an id twice', file({}, { vocab: { a: 0, b: 0 } }), 'tokenizer_invalid'],
    ['a gap', file({}, { vocab: { a: 0, b: 5 } }), 'tokenizer_invalid'],
    ['a negative id', file({}, { vocab: { a: -1 } }), 'tokenizer_invalid'],
    ['a merge of unknown tokens', file(level, { merges: ['a c'] }), 'tokenizer_invalid'],
    [
      'a merge that has the name of a method',
      file(level, { merges: [['a', 'toString']] }),
      'tokenizer_invalid',
    ],
    ['an id of __proto__ that is no number', '{"model":{"vocab":{"__proto__":"0"}}}', 'tokenizer_invalid'],
    ['an id that is no number', file({}, { vocab: { a: '0' } }), 'tokenizer_invalid'],
    ['a vocabulary that is no record', file({}, { vocab: 7 }), 'tokenizer_invalid'],
    [
      'a token with two ids',
      file({ ...level, added_tokens: [{ id: 1, content: 'a' }] }),
      'tokenizer_invalid',
    ],
    ['a character that is no byte', file(level, { vocab: { 春: 0 } }), 'tokenizer_invalid'],
  ])('%s', (_, json, code) => {
    expect(() => readTokenizer(json)).toThrow(expect.objectContaining({ code }));
  });
});
