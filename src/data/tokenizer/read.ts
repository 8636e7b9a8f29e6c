/**
 * Reads a Hugging Face `tokenizer.json`: byte-level BPE (GPT-2), WordPiece (BERT) and our character vocabularies have
 * code of their own; every other one is put together from its parts.
 * @throws InkstoneError `tokenizer_invalid`, `tokenizer_unsupported`
 */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { BpeTokenizer, END_OF_TEXT } from './bpe.ts';
import { characterToByte } from './byte-alphabet.ts';
import { CharacterTokenizer } from './characters.ts';
import { addedToken } from './pipeline/added-tokens.ts';
import { invalidFile } from './pipeline/errors.ts';
import { PipelineTokenizer } from './pipeline/pipeline.ts';
import { checkMerges, vocabularyMap } from './pipeline/vocabulary.ts';
import type { Tokenizer } from './tokenizer.ts';
import { LONGEST_WORD, WORDPIECE_SPECIAL, WordPieceTokenizer } from './wordpiece.ts';
import { WORDS_TYPE, WordsTokenizer } from './words.ts';

const model = z.object({
  type: z.string().optional(),
  // Checked below: tokens may have any name, `__proto__` too.
  vocab: z.custom<unknown>((value) => typeof value === 'object' && value !== null),
  merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])).default([]),
  dropout: z.number().nullish(),
  unk_token: z.string().nullish(),
  continuing_subword_prefix: z.string().nullish(),
  end_of_word_suffix: z.string().nullish(),
  max_input_chars_per_word: z.number().nullish(),
  byte_fallback: z.boolean().nullish(),
  ignore_merges: z.boolean().nullish(),
});

const file = z.object({
  added_tokens: z.array(addedToken).default([]),
  normalizer: z.unknown().optional(),
  pre_tokenizer: z.unknown().optional(),
  decoder: z.unknown().optional(),
  model,
});
type File = z.output<typeof file>;

/** Characters of a file: the largest that makers publish have 35 million. */
const LONGEST_FILE = 2 ** 28;

export function readTokenizer(json: string): Tokenizer {
  if (json.length > LONGEST_FILE) throw invalidFile(`it has ${json.length} characters`);
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
  try {
    return ownForm(read.data) ?? new PipelineTokenizer(raw);
  } catch (thrown) {
    if (!(thrown instanceof z.ZodError)) throw thrown;
    throw new InkstoneError('tokenizer_invalid', `tokenizer.json: ${z.prettifyError(thrown)}`, {
      kind: 'data',
      cause: thrown,
    });
  }
}

/** The forms that have faster code of their own, and that learning gives; undefined for all others. */
function ownForm({ model, normalizer, pre_tokenizer, added_tokens, decoder }: File): Tokenizer | undefined {
  if (model.type === WORDS_TYPE) return words(byId(vocabularyMap(model.vocab)));
  if (model.type === 'WordPiece') return wordPiece(model, normalizer, pre_tokenizer, added_tokens);
  const marked =
    model.continuing_subword_prefix || model.end_of_word_suffix || model.byte_fallback || model.ignore_merges;
  const plain = normalizer === null || normalizer === undefined;
  if ((model.type ?? 'BPE') !== 'BPE' || Array.isArray(model.vocab) || model.dropout || marked || !plain)
    return undefined;
  if (pre_tokenizer === null || pre_tokenizer === undefined) return characters(model, added_tokens);
  const level = byteLevelForm.safeParse(pre_tokenizer);
  const back = z
    .looseObject({ type: z.literal('ByteLevel') })
    .nullish()
    .safeParse(decoder);
  const others = added_tokens.some(
    ({ content, special, lstrip, rstrip, single_word }) =>
      content !== END_OF_TEXT || !special || lstrip || rstrip || single_word,
  );
  if (!level.success || !back.success || others) return undefined;
  return byteLevel(vocabularyMap(model.vocab), model.merges, added_tokens);
}

const byteLevelForm = z.object({
  type: z.literal('ByteLevel'),
  add_prefix_space: z.literal(false),
  use_regex: z.literal(true).nullish(),
});

type Vocabulary = ReadonlyMap<string, number>;

function byId(vocab: Vocabulary): string[] {
  const tokens = new Array<string>(vocab.size);
  for (const [token, id] of vocab) {
    if (id >= tokens.length || tokens[id] !== undefined)
      throw invalidFile(`the id ${id} is given twice or leaves a gap`);
    tokens[id] = token;
  }
  return tokens;
}

function words(tokens: readonly string[]): WordsTokenizer {
  const single = tokens.findIndex((token) => [...token].length !== 1);
  if (single >= 0 && tokens.slice(single).some((token) => [...token].length < 2))
    throw invalidFile('a character stands behind words');
  return new WordsTokenizer(tokens);
}

function characters(model: File['model'], added: File['added_tokens']): CharacterTokenizer | undefined {
  if (model.merges.length > 0 || added.length > 0 || model.unk_token) return undefined;
  const tokens = byId(vocabularyMap(model.vocab));
  return tokens.some((t) => [...t].length !== 1) ? undefined : new CharacterTokenizer(tokens);
}

const bertNormalizer = z.object({
  type: z.literal('BertNormalizer'),
  clean_text: z.literal(true).default(true),
  handle_chinese_chars: z.literal(true).default(true),
  lowercase: z.boolean(),
  strip_accents: z.boolean().nullish(),
});

/** BERT's own form, which has its special tokens by name. */
function wordPiece(
  model: File['model'],
  normalizer: unknown,
  preTokenizer: unknown,
  added: File['added_tokens'],
): WordPieceTokenizer | undefined {
  const normal = bertNormalizer.safeParse(normalizer);
  const cut = z.looseObject({ type: z.literal('BertPreTokenizer') }).safeParse(preTokenizer);
  if (!normal.success || !cut.success) return undefined;
  const { lowercase, strip_accents } = normal.data;
  if ((strip_accents ?? lowercase) !== lowercase) return undefined;
  if (model.continuing_subword_prefix !== '##' || (model.unk_token ?? '[UNK]') !== '[UNK]') return undefined;
  if ((model.max_input_chars_per_word ?? LONGEST_WORD) !== LONGEST_WORD) return undefined;
  const vocab = vocabularyMap(model.vocab);
  const own = new Set<string>(WORDPIECE_SPECIAL);
  if (WORDPIECE_SPECIAL.some((name) => !vocab.has(name))) return undefined;
  if (added.some(({ content, id }) => !own.has(content) || vocab.get(content) !== id)) return undefined;
  return new WordPieceTokenizer(byId(vocab), lowercase);
}

function byteLevel(
  vocab: Vocabulary,
  merges: File['model']['merges'],
  added: readonly { id: number; content: string }[],
): BpeTokenizer {
  const all = new Map(vocab);
  for (const { id, content } of added) {
    if (all.has(content) && all.get(content) !== id)
      throw invalidFile(`the token ${JSON.stringify(content)} has two ids`);
    all.set(content, id);
  }
  const special = new Set(added.map((a) => a.content));
  const tokens = byId(all).map((name) =>
    special.has(name) ? new TextEncoder().encode(name) : bytesOf(name),
  );
  const triples = checkMerges(merges, (left, right) => {
    const ids = [all.get(left), all.get(right), all.get(`${left}${right}`)];
    if (ids.includes(undefined)) throw invalidFile(`the merge ${left} ${right} is not in the vocabulary`);
    return ids as [number, number, number];
  });
  return new BpeTokenizer({ tokens, merges: triples, endOfText: all.get(END_OF_TEXT) });
}

/** The bytes that a token's characters stand for. */
function bytesOf(name: string): Uint8Array {
  return Uint8Array.from([...name], (c) => {
    const byte = characterToByte.get(c);
    if (byte === undefined)
      throw invalidFile(`the token ${JSON.stringify(name)} has a character that stands for no byte`);
    return byte;
  });
}
