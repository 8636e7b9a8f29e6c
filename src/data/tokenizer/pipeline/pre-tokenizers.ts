/** The pre-tokenizers of tokenizer.json: normalised text to the pieces that the model cuts further. Knows no vocabulary. */
import { z } from 'zod';
import { byteToCharacter, WORDS } from '../byte-alphabet.ts';
import { unsupportedPart } from './errors.ts';
import { pattern } from './normalisers.ts';
import { literal, SPLIT_BEHAVIOURS, type SplitBehaviour, split } from './split.ts';

/** `first`: the piece stands at the beginning of the whole text. */
export type PreTokenizer = (piece: string, first: boolean) => string[];

const PUNCTUATION = /[!-/:-@[-`{-~]|\p{P}/gu;
const SPACES = /\p{White_Space}/gu;

const metaspace = z.object({
  replacement: z.string().refine((text) => [...text].length === 1, 'must be one character'),
  prepend_scheme: z.enum(['always', 'first', 'never']).optional(),
  add_prefix_space: z.boolean().optional(),
  split: z.boolean().default(true),
});

/** The scheme, in files old and new. */
export function metaspaceOf(raw: unknown): { replacement: string; scheme: string; cut: boolean } {
  const read = metaspace.parse(raw);
  const scheme = read.prepend_scheme ?? (read.add_prefix_space === false ? 'never' : 'always');
  return { replacement: read.replacement, scheme, cut: read.split };
}

function metaspacePieces(raw: unknown): PreTokenizer {
  const { replacement, scheme, cut } = metaspaceOf(raw);
  const mark = literal(replacement);
  return (piece, first) => {
    let text = piece.replaceAll(' ', replacement);
    const wanted = scheme === 'always' || (scheme === 'first' && first);
    if (wanted && !text.startsWith(replacement)) text = replacement + text;
    return cut ? split(text, mark, 'MergedWithNext') : [text];
  };
}

const encoder = new TextEncoder();
const asBytes = (text: string): string =>
  Array.from(encoder.encode(text), (byte) => byteToCharacter[byte]).join('');

function byteLevel(raw: unknown): PreTokenizer {
  const { add_prefix_space, use_regex } = z
    .object({ add_prefix_space: z.boolean().default(true), use_regex: z.boolean().default(true) })
    .parse(raw);
  return (piece) => {
    const text = add_prefix_space && !piece.startsWith(' ') ? ` ${piece}` : piece;
    return (use_regex ? split(text, WORDS, 'Isolated') : [text]).map(asBytes);
  };
}

const behaviour = z.enum(SPLIT_BEHAVIOURS);

/** Those that only cut: where they drop the beginning, what is left no longer stands at the beginning. */
const cutters = new WeakSet<PreTokenizer>();

function cutting(at: RegExp, how: SplitBehaviour, invert = false): PreTokenizer {
  const made: PreTokenizer = (piece) => split(piece, at, how, invert);
  cutters.add(made);
  return made;
}

/** One after the other, each on all pieces of the one before. */
function inSequence(all: readonly PreTokenizer[]): PreTokenizer {
  return (piece, first) => {
    let pieces = [piece];
    let begins = first;
    for (const next of all) {
      const made = pieces.map((one, i) => next(one, begins && i === 0));
      const [front] = made[0] ?? [];
      if (cutters.has(next) && front !== undefined && !(pieces[0] as string).startsWith(front))
        begins = false;
      pieces = made.flat();
    }
    return pieces;
  };
}

/** @throws InkstoneError `tokenizer_unsupported`, ZodError where a part is not as it should be */
export function preTokenizerOf(raw: unknown, depth = 0): PreTokenizer {
  if (raw === null || raw === undefined) return (piece) => [piece];
  const { type } = z.looseObject({ type: z.string() }).parse(raw);
  switch (type) {
    case 'Sequence': {
      if (depth > 8) throw unsupportedPart('a pre-tokenizer of sequences within sequences');
      const parts = z.object({ pretokenizers: z.array(z.unknown()).max(64) }).parse(raw).pretokenizers;
      const all = parts.map((part) => preTokenizerOf(part, depth + 1));
      return inSequence(all);
    }
    case 'ByteLevel':
      return byteLevel(raw);
    case 'Metaspace':
      return metaspacePieces(raw);
    case 'Split': {
      const read = z.object({ pattern, behavior: behaviour, invert: z.boolean().default(false) }).parse(raw);
      return cutting(read.pattern, read.behavior, read.invert);
    }
    case 'BertPreTokenizer':
      return (piece) =>
        split(piece, SPACES, 'Removed').flatMap((part) => split(part, PUNCTUATION, 'Isolated'));
    case 'Whitespace':
      return cutting(
        /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu,
        'Removed',
        true,
      );
    case 'WhitespaceSplit':
      return cutting(SPACES, 'Removed');
    case 'Punctuation':
      return cutting(PUNCTUATION, z.object({ behavior: behaviour.default('Isolated') }).parse(raw).behavior);
    case 'Digits': {
      const { individual_digits } = z.object({ individual_digits: z.boolean().default(false) }).parse(raw);
      return cutting(/\p{N}/gu, individual_digits ? 'Isolated' : 'Contiguous');
    }
    case 'CharDelimiterSplit':
      return cutting(literal(z.object({ delimiter: z.string().min(1) }).parse(raw).delimiter), 'Removed');
    default:
      throw unsupportedPart(`the pre-tokenizer ${type}`);
  }
}
