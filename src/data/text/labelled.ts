/**
 * Labelled texts, single or in pairs, as tokens and as batches of rows that are alike in length. Knows tokenizers; knows
 * no network.
 */
import { InkstoneError } from '../../base/errors.ts';
import { Random } from '../../base/rng.ts';
import { type HostTensors, tensor } from '../../base/tensor.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { WordPieceTokenizer } from '../tokenizer/wordpiece.ts';
import type { TableRow } from './table.ts';

export interface TextPair {
  text: string;
  pair?: string;
}

export interface LabelledText extends TextPair {
  label: string;
}

/** Which fields of a table hold what. */
export interface LabelledFields {
  text: string;
  pair?: string;
  label: string;
}

function field(row: TableRow, name: string, file: string): string {
  const value = row.fields[name];
  if (value !== undefined && value.trim() !== '') return value;
  const there = Object.keys(row.fields).join(', ');
  throw new InkstoneError(
    'field_missing',
    `${file}:${row.line} has ${value === undefined ? 'no field' : 'nothing in'} "${name}"${there === '' ? '' : ` (it has ${there})`}`,
    { kind: 'data', hint: 'name the fields with --text-field, --pair-field and --label-field' },
  );
}

/** @throws InkstoneError `field_missing`, which names the line */
export const textsOf = (
  rows: readonly TableRow[],
  fields: Omit<LabelledFields, 'label'>,
  file = 'table',
): TextPair[] =>
  rows.map((row) => ({
    text: field(row, fields.text, file),
    ...(fields.pair === undefined ? {} : { pair: field(row, fields.pair, file) }),
  }));

/** @throws InkstoneError `field_missing`, which names the line */
export const labelledOf = (
  rows: readonly TableRow[],
  fields: LabelledFields,
  file = 'table',
): LabelledText[] =>
  textsOf(rows, fields, file).map((one, i) => ({
    ...one,
    label: field(rows[i] as TableRow, fields.label, file),
  }));

/** The different labels, sorted: class c is the c-th. @throws InkstoneError `labels_too_few` */
export function labelsOf(rows: readonly LabelledText[]): string[] {
  const labels = [...new Set(rows.map(({ label }) => label))].sort();
  if (labels.length >= 2) return labels;
  throw new InkstoneError('labels_too_few', `all rows have the label "${labels[0]}"`, {
    kind: 'data',
    hint: 'a classifier needs rows of at least two classes',
  });
}

export interface EncodedText {
  tokens: Int32Array;
  /** 0 for the first text and its marks, 1 for the second. */
  segments: Int32Array;
}

/**
 * With WordPiece `[CLS] text [SEP]` or `[CLS] text [SEP] pair [SEP]` (Devlin et al. 2019, figure 4); else the texts,
 * each followed by the end of text, or by a line end where there is none. What does not fit is cut from the end of the
 * longer of the two.
 */
export function encodePair({ text, pair }: TextPair, tokenizer: Tokenizer, context: number): EncodedText {
  const wordPiece = tokenizer instanceof WordPieceTokenizer;
  const first = tokenizer.encode(text, { unknown: 'skip' });
  const second = pair === undefined ? [] : tokenizer.encode(pair, { unknown: 'skip' });
  const close = wordPiece
    ? [tokenizer.special('[SEP]')]
    : tokenizer.endOfText === undefined
      ? tokenizer.encode('\n', { unknown: 'skip' })
      : [tokenizer.endOfText];
  const open = wordPiece ? [tokenizer.special('[CLS]')] : [];
  const room = context - open.length - close.length * (pair === undefined ? 1 : 2);
  while (first.length + second.length > room) (first.length >= second.length ? first : second).pop();
  const left = [...open, ...first, ...close];
  const right = pair === undefined ? [] : [...second, ...close];
  const tokens = Int32Array.from([...left, ...right]);
  // A text of unknown characters alone has no tokens; a network needs one.
  if (tokens.length === 0) return { tokens: new Int32Array(1), segments: new Int32Array(1) };
  return { tokens, segments: new Int32Array(tokens.length).fill(1, left.length) };
}

/** Lengths that batches are filled up to: doubled from 16, and the context. */
export function bucketsOf(context: number): number[] {
  const lengths: number[] = [];
  for (let length = 16; length < context; length *= 2) lengths.push(length);
  return [...lengths, context];
}

/** The smallest bucket that holds all of these rows. */
export const bucketFor = (lengths: readonly number[], buckets: readonly number[]): number => {
  const longest = Math.max(...lengths);
  return buckets.find((bucket) => bucket >= longest) ?? (buckets.at(-1) as number);
};

/**
 * Rows of a step, alike in length: every pass over the data puts all rows into an order of its own, sorts them by length
 * within pools of batches (Khomenko et al. 2016), and takes the batches in an order of their own. What does not fill a
 * batch is made up from the beginning of the pass. A function of seed and step alone.
 */
export function rowsAlike(lengths: readonly number[], batch: number, seed: number, step: number): number[] {
  const perPass = Math.ceil(lengths.length / batch);
  const random = new Random(seed, 'bucketed rows', Math.floor(step / perPass));
  const order = shuffled(lengths.length, random);
  while (order.length < perPass * batch) order.push(order[order.length % lengths.length] as number);
  const batches: number[][] = [];
  const pool = POOL * batch;
  for (let from = 0; from < order.length; from += pool) {
    const part = order
      .slice(from, from + pool)
      .sort((a, b) => (lengths[a] as number) - (lengths[b] as number));
    for (let at = 0; at < part.length; at += batch) batches.push(part.slice(at, at + batch));
  }
  return batches[shuffled(batches.length, random)[step % perPass] as number] as number[];
}

/** Batches whose rows are sorted together. */
const POOL = 8;

function shuffled(count: number, random: Random): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}

/** `tokens` and `segments` `[batch, time]`, `length` `[batch]` i32; what is shorter than `time` is filled with 0. */
export function encodedBatch(rows: readonly EncodedText[], time: number): HostTensors {
  const tokens = new Int32Array(rows.length * time);
  const segments = new Int32Array(rows.length * time);
  rows.forEach((row, b) => {
    tokens.set(row.tokens, b * time);
    segments.set(row.segments, b * time);
  });
  return {
    tokens: tensor('i32', [rows.length, time], tokens),
    segments: tensor('i32', [rows.length, time], segments),
    length: tensor(
      'i32',
      [rows.length],
      Int32Array.from(rows, ({ tokens: own }) => own.length),
    ),
  };
}
