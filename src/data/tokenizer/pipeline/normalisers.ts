/** The normalisers of tokenizer.json: text to text, before it is cut. Knows no vocabulary. */
import { z } from 'zod';
import { byteToCharacter } from '../byte-alphabet.ts';
import { CharactersMap } from './charsmap.ts';
import { unsupportedPart } from './errors.ts';
import { compileRegex } from './regex.ts';
import { literal } from './split.ts';

export type Normaliser = (text: string) => string;

export const pattern = z
  .union([z.object({ String: z.string() }), z.object({ Regex: z.string() })])
  .transform((given) => ('Regex' in given ? compileRegex(given.Regex) : literal(given.String)));

/** Character by character, so that a final sigma is like any other. */
const lower = (text: string): string => text.replaceAll('\u03a3', '\u03c3').toLowerCase();

const CONTROL = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/u;
const CHINESE =
  /[\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\uF900-\uFAFF\u{2F800}-\u{2FA1F}]/gu;

function cleaned(text: string): string {
  let made = '';
  for (const c of text) {
    if (c === '\0' || c === '\ufffd') continue;
    if (c === '\t' || c === '\n' || c === '\r') made += ' ';
    else if (!CONTROL.test(c)) made += /\p{White_Space}/u.test(c) ? ' ' : c;
  }
  return made;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: what SentencePiece's own rules drop.
const NMT_DROPPED = /[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/g;
const NMT_SPACES = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g;

const bert = z.object({
  clean_text: z.boolean().default(true),
  handle_chinese_chars: z.boolean().default(true),
  strip_accents: z.boolean().nullish(),
  lowercase: z.boolean().default(true),
});

function bertNormaliser(raw: unknown): Normaliser {
  const { clean_text, handle_chinese_chars, strip_accents, lowercase } = bert.parse(raw);
  return (text) => {
    let made = clean_text ? cleaned(text) : text;
    if (handle_chinese_chars) made = made.replaceAll(CHINESE, ' $& ');
    if (strip_accents ?? lowercase) made = made.normalize('NFD').replaceAll(/\p{Mn}/gu, '');
    return lowercase ? lower(made) : made;
  };
}

/** @throws InkstoneError `tokenizer_unsupported`, ZodError where a part is not as it should be */
export function normaliserOf(raw: unknown, depth = 0): Normaliser {
  if (raw === null || raw === undefined) return (text) => text;
  const { type } = z.looseObject({ type: z.string() }).parse(raw);
  switch (type) {
    case 'Sequence': {
      if (depth > 8) throw unsupportedPart('a normalizer of sequences within sequences');
      const parts = z.object({ normalizers: z.array(z.unknown()).max(64) }).parse(raw).normalizers;
      const all = parts.map((part) => normaliserOf(part, depth + 1));
      return (text) => all.reduce((made, next) => next(made), text);
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => text.normalize(type);
    case 'Lowercase':
      return lower;
    case 'StripAccents':
      return (text) => text.replaceAll(/\p{M}/gu, '');
    case 'Nmt':
      return (text) => text.replaceAll(NMT_DROPPED, '').replaceAll(NMT_SPACES, ' ');
    case 'Strip': {
      const { strip_left, strip_right } = z
        .object({ strip_left: z.boolean().default(true), strip_right: z.boolean().default(true) })
        .parse(raw);
      return (text) => {
        let made = text;
        if (strip_left) made = made.replace(/^\p{White_Space}+/u, '');
        if (strip_right) made = made.replace(/\p{White_Space}+$/u, '');
        return made;
      };
    }
    case 'Replace': {
      const read = z.object({ pattern, content: z.string() }).parse(raw);
      return (text) => text.replaceAll(read.pattern, () => read.content);
    }
    case 'Prepend': {
      const { prepend } = z.object({ prepend: z.string() }).parse(raw);
      return (text) => (text === '' ? '' : prepend + text);
    }
    case 'ByteLevel':
      return (text) => Array.from(new TextEncoder().encode(text), (byte) => byteToCharacter[byte]).join('');
    case 'Precompiled': {
      const map = new CharactersMap(
        z.object({ precompiled_charsmap: z.string() }).parse(raw).precompiled_charsmap,
      );
      return (text) => map.normalise(text);
    }
    case 'BertNormalizer':
      return bertNormaliser(raw);
    default:
      throw unsupportedPart(`the normalizer ${type}`);
  }
}
