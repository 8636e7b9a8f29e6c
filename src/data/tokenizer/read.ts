/**
 * Reads a Hugging Face `tokenizer.json`: byte-level BPE (GPT-2 and its kin), WordPiece (BERT), and our character
 * vocabularies.
 * @throws InkstoneError `tokenizer_invalid`, `tokenizer_unsupported`
 */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { BpeTokenizer, END_OF_TEXT } from './bpe.ts';
import { characterToByte } from './byte-alphabet.ts';
import { CharacterTokenizer } from './characters.ts';
import type { Tokenizer } from './tokenizer.ts';
import { WordPieceTokenizer } from './wordpiece.ts';

const model = z.object({
  type: z.string().default('BPE'),
  // Checked below: tokens may have any name, `__proto__` too.
  vocab: z.custom<Record<string, unknown>>((value) => typeof value === 'object' && value !== null),
  merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])).default([]),
  dropout: z.number().nullish(),
  continuing_subword_prefix: z.string().nullish(),
  end_of_word_suffix: z.string().nullish(),
  ignore_merges: z.boolean().nullish(),
});

const file = z.object({
  added_tokens: z.array(z.object({ id: z.number().int().min(0), content: z.string() })).default([]),
  normalizer: z.unknown().optional(),
  pre_tokenizer: z
    .object({ type: z.string(), add_prefix_space: z.boolean().nullish(), use_regex: z.boolean().nullish() })
    .nullish(),
  model,
});

export function readTokenizer(json: string): Tokenizer {
  let raw: unknown;
  try {
    raw = JSON.parse(json);
  } catch (cause) {
    throw new InkstoneError('tokenizer_invalid', 'tokenizer.json is not JSON', { kind: 'data', cause });
  }
  const read = file.safeParse(raw);
  if (!read.success)
    throw new InkstoneError('tokenizer_invalid', `tokenizer.json: ${z.prettifyError(read.error)}`, {
      kind: 'data',
    });
  const { model, normalizer, pre_tokenizer: pre, added_tokens: added } = read.data;
  if (model.type === 'WordPiece')
    return wordPiece(vocabularyOf(model.vocab), normalizer, model.continuing_subword_prefix);
  if (model.type !== 'BPE')
    throw unsupported(
      `a tokenizer of the type ${model.type}`,
      'byte-level BPE, WordPiece and character tokenizers can be read',
    );
  // Whatever would give other ids than its makers meant is refused, not passed over.
  if (normalizer !== null && normalizer !== undefined) throw unsupported('a tokenizer with a normalizer');
  if (model.dropout) throw unsupported('a tokenizer with dropout');
  if (model.continuing_subword_prefix || model.end_of_word_suffix)
    throw unsupported('a tokenizer that marks the parts of words');
  if (model.ignore_merges === true) throw unsupported('a tokenizer that takes whole words without merges');
  const vocab = vocabularyOf(model.vocab);
  if (pre === null || pre === undefined) return characters(vocab, model.merges.length);
  if (pre.type !== 'ByteLevel' || pre.add_prefix_space === true || pre.use_regex === false)
    throw unsupported(`the pre-tokenizer ${JSON.stringify(pre)}`, 'ByteLevel as GPT-2 has it is known');
  return byteLevel(vocab, model.merges, added);
}

function invalid(why: string): InkstoneError {
  return new InkstoneError('tokenizer_invalid', `tokenizer.json is damaged: ${why}`, {
    kind: 'data',
    hint: 'copy or fetch it again',
  });
}

function unsupported(what: string, hint?: string): InkstoneError {
  return new InkstoneError('tokenizer_unsupported', `${what} cannot be read`, {
    kind: 'unsupported',
    ...(hint === undefined ? {} : { hint }),
  });
}

type Vocabulary = ReadonlyMap<string, number>;

function vocabularyOf(vocab: Readonly<Record<string, unknown>>): Map<string, number> {
  const ids = new Map<string, number>();
  for (const [token, id] of Object.entries(vocab)) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0)
      throw invalid(`the token ${JSON.stringify(token)} has the id ${JSON.stringify(id)}`);
    ids.set(token, id);
  }
  return ids;
}

function byId(vocab: Vocabulary): string[] {
  const tokens = new Array<string>(vocab.size);
  for (const [token, id] of vocab) {
    if (id >= tokens.length || tokens[id] !== undefined)
      throw invalid(`the id ${id} is given twice or leaves a gap`);
    tokens[id] = token;
  }
  return tokens;
}

function characters(vocab: Vocabulary, merges: number): CharacterTokenizer {
  const tokens = byId(vocab);
  if (merges > 0 || tokens.some((t) => [...t].length !== 1))
    throw unsupported('BPE without a byte-level pre-tokenizer');
  return new CharacterTokenizer(tokens);
}

const bertNormalizer = z.object({
  type: z.literal('BertNormalizer'),
  lowercase: z.boolean(),
  strip_accents: z.boolean().nullish(),
});

function wordPiece(
  vocab: Vocabulary,
  normalizer: unknown,
  prefix: string | null | undefined,
): WordPieceTokenizer {
  const read = bertNormalizer.safeParse(normalizer);
  if (!read.success || (read.data.strip_accents ?? read.data.lowercase) !== read.data.lowercase)
    throw unsupported('WordPiece with another normalizer', 'BertNormalizer as BERT has it is known');
  if (prefix !== '##') throw unsupported('WordPiece that marks the parts of words in another way');
  return new WordPieceTokenizer(byId(vocab), read.data.lowercase);
}

function byteLevel(
  vocab: Vocabulary,
  merges: readonly (string | readonly [string, string])[],
  added: readonly { id: number; content: string }[],
): BpeTokenizer {
  const all = new Map(vocab);
  for (const { id, content } of added) {
    if (all.has(content) && all.get(content) !== id)
      throw invalid(`the token ${JSON.stringify(content)} has two ids`);
    all.set(content, id);
  }
  const special = new Set(added.map((a) => a.content));
  const tokens = byId(all).map((name) =>
    special.has(name) ? new TextEncoder().encode(name) : bytesOf(name),
  );
  const triples = merges.map((merge): [number, number, number] => {
    const [left, right] = typeof merge === 'string' ? (merge.split(' ') as [string, string]) : merge;
    const ids = [all.get(left), all.get(right), all.get(`${left}${right}`)];
    if (ids.includes(undefined)) throw invalid(`the merge ${left} ${right} is not in the vocabulary`);
    return ids as [number, number, number];
  });
  return new BpeTokenizer({ tokens, merges: triples, endOfText: all.get(END_OF_TEXT) });
}

/** The bytes that a token's characters stand for. */
function bytesOf(name: string): Uint8Array {
  return Uint8Array.from([...name], (c) => {
    const byte = characterToByte.get(c);
    if (byte === undefined)
      throw invalid(`the token ${JSON.stringify(name)} has a character that stands for no byte`);
    return byte;
  });
}
