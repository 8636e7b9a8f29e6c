/** Tables and labelled texts: quoting, bad rows, cutting, batches of rows that are alike in length. */
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Random } from '../../base/rng.ts';
import { CharacterTokenizer } from '../tokenizer/characters.ts';
import { requireKnown, unknownShare } from '../tokenizer/unknown.ts';
import { trainWordPiece } from '../tokenizer/wordpiece.ts';
import {
  bucketFor,
  bucketsOf,
  encodedBatch,
  encodePair,
  labelledOf,
  labelsOf,
  rowsAlike,
} from './labelled.ts';
import { jsonRows, readTable, separatedRows } from './table.ts';

let folder: string;
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-table-'));
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

const values = (rows: readonly { fields: object }[]): unknown[] => rows.map(({ fields }) => fields);

describe('separated values', () => {
  test('quotes, doubled quotes, separators and line ends within, CR LF, a mark of byte order, a last line without end', () => {
    const text = '\ufeffid,text,label\r\n1,"a, ""b""\nc",yes\r\n2,,no\n\n3,"",maybe';
    const rows = separatedRows(text, ',');
    expect(values(rows)).toEqual([
      { id: '1', text: 'a, "b"\nc', label: 'yes' },
      { id: '2', text: '', label: 'no' },
      { id: '3', text: '', label: 'maybe' },
    ]);
    expect(rows.map(({ line }) => line)).toEqual([2, 4, 6]);
  });

  test('what is written with quotes is read back, whatever is in it', () => {
    const random = new Random(5, 'csv');
    const signs = ['a', '"', ',', '\n', '\r\n', ' ', 'é', '\t', '诗'];
    const cell = (): string =>
      Array.from({ length: random.integer(6) }, () => signs[random.integer(signs.length)] as string).join('');
    for (let round = 0; round < 200; round++) {
      const rows = Array.from({ length: 3 }, () => [cell(), cell()]);
      const quoted = rows.map((row) => row.map((value) => `"${value.replaceAll('"', '""')}"`).join(','));
      const read = separatedRows(`x,y\n${quoted.join('\n')}\n`, ',');
      expect(values(read)).toEqual(rows.map(([x, y]) => ({ x, y })));
    }
  });

  test.each([
    ['a,b\n1,2\n3', /table:3: it has 1 values, the first line names 2/],
    ['a,b\n"1,2\n', /table:2: a quotation mark is never closed/],
    ['a,b\n"1"x,2\n', /table:2: something follows a closing/],
    ['a,a\n1,2\n', /two columns are called "a"/],
  ])('%j is refused with its line', (text, message) => {
    expect(() => separatedRows(text, ',')).toThrow(message);
  });
});

test('JSON lines: numbers and truth values are texts, other values are left out, bad lines are named', () => {
  expect(values(jsonRows('{"text":"a","label":1,"x":null,"y":[1]}\n\n{"label":true}'))).toEqual([
    { text: 'a', label: '1' },
    { label: 'true' },
  ]);
  expect(() => jsonRows('{"a":1}\n{"a":')).toThrow(/table:2: it is not JSON/);
  expect(() => jsonRows('[1]')).toThrow(/table:1: it is no object/);
});

test('a file is read by its ending; missing, strange and empty ones are refused', async () => {
  await fs.writeFile(path.join(folder, 'a.tsv'), 'text\tlabel\nhi, "you"\tgood\n');
  await fs.writeFile(path.join(folder, 'a.xlsx'), 'x');
  await fs.writeFile(path.join(folder, 'a.csv'), 'text,label\n');
  expect(values(await readTable(path.join(folder, 'a.tsv')))).toEqual([{ text: 'hi, "you"', label: 'good' }]);
  await expect(readTable(path.join(folder, 'none.csv'))).rejects.toMatchObject({ code: 'table_missing' });
  await expect(readTable(path.join(folder, 'a.xlsx'))).rejects.toMatchObject({ code: 'table_kind_unknown' });
  await expect(readTable(path.join(folder, 'a.csv'))).rejects.toMatchObject({ code: 'data_empty' });
});

test('labelled rows need their fields and two labels', () => {
  const rows = jsonRows('{"text":"a","label":"x"}\n{"text":" ","label":"y"}');
  expect(() => labelledOf(rows, { text: 'text', label: 'label' }, 't.jsonl')).toThrow(
    /t.jsonl:2 has nothing in "text"/,
  );
  expect(() => labelledOf(rows, { text: 'body', label: 'label' })).toThrow(
    /:1 has no field "body" \(it has text, label\)/,
  );
  expect(() => labelsOf([{ text: 'a', label: 'x' }])).toThrow(/all rows have the label "x"/);
});

describe('encoding', () => {
  const words = new Map('the cat sat on a mat and dogs ran'.split(' ').map((word) => [word, 9]));
  const pieces = trainWordPiece(words, 200);
  const [cls, sep] = [pieces.special('[CLS]'), pieces.special('[SEP]')];

  test('a pair stands as [CLS] a [SEP] b [SEP]; what is too long is cut from the longer', () => {
    const the = pieces.encode('the');
    const cat = pieces.encode('cat');
    const both = encodePair({ text: 'the cat', pair: 'the' }, pieces, 50);
    expect([...both.tokens]).toEqual([cls, ...the, ...cat, sep, ...the, sep]);
    expect([...both.segments]).toEqual([
      0,
      ...the.map(() => 0),
      ...cat.map(() => 0),
      0,
      ...the.map(() => 1),
      1,
    ]);
    const long = encodePair({ text: 'the '.repeat(40), pair: 'cat' }, pieces, 20);
    expect(long.tokens.length).toBe(20);
    expect([...long.tokens].slice(-1 - cat.length)).toEqual([...cat, sep]);
  });

  test('characters: a line end closes each text; a text of unknown ones alone still has a token', () => {
    const characters = new CharacterTokenizer(['\n', 'a', 'b']);
    expect([...encodePair({ text: 'ab', pair: 'b' }, characters, 10).tokens]).toEqual([1, 2, 0, 2, 0]);
    expect([...encodePair({ text: 'ab', pair: 'b' }, characters, 10).segments]).toEqual([0, 0, 0, 1, 1]);
    expect(encodePair({ text: 'zz' }, new CharacterTokenizer(['a', 'b']), 10).tokens.length).toBe(1);
  });

  test('texts that a vocabulary does not know are refused, with their share', () => {
    const characters = new CharacterTokenizer(['a', 'b']);
    expect(unknownShare(['abab'], characters)).toBe(0);
    expect(unknownShare(['axbx'], characters)).toBe(0.5);
    expect(unknownShare(['the 诗'], pieces)).toBe(0.5);
    expect(() => requireKnown(['诗'], characters, 'd.csv')).toThrow(/does not know 100 % of d.csv/);
  });

  test('filling up to a bucket', () => {
    expect(bucketsOf(100)).toEqual([16, 32, 64, 100]);
    expect(bucketFor([3, 17], bucketsOf(100))).toBe(32);
    const { tokens, length } = encodedBatch(
      [{ tokens: Int32Array.of(4, 5), segments: Int32Array.of(0, 1) }],
      4,
    );
    expect([...(tokens?.data ?? [])]).toEqual([4, 5, 0, 0]);
    expect([...(length?.data ?? [])]).toEqual([2]);
  });
});

test('every pass holds every row, in an order of its own, and batches are alike in length', () => {
  const random = new Random(3, 'lengths');
  const lengths = Array.from({ length: 203 }, () => 1 + random.integer(120));
  const [batch, perPass] = [8, Math.ceil(203 / 8)];
  const pass = (n: number): number[][] =>
    Array.from({ length: perPass }, (_, i) => rowsAlike(lengths, batch, 1, n * perPass + i));
  for (const n of [0, 1, 5]) {
    const rows = pass(n);
    expect(rows.every((row) => row.length === batch)).toBe(true);
    expect(new Set(rows.flat()).size).toBe(203);
  }
  expect(pass(0)).toEqual(pass(0));
  expect(pass(0)).not.toEqual(pass(1));
  const filled = (rows: readonly number[][]): number =>
    rows.reduce((all, row) => all + batch * Math.max(...row.map((i) => lengths[i] as number)), 0);
  const plain = Array.from({ length: perPass }, (_, i) =>
    Array.from({ length: batch }, (_, b) => (i * batch + b) % 203),
  );
  expect(filled(pass(0))).toBeLessThan(0.75 * filled(plain));
});
