/** The decoders of tokenizer.json: tokens back to text. Knows tokens' spelling, not their ids. */
import { z } from 'zod';
import { characterToByte } from '../byte-alphabet.ts';
import { unsupportedPart } from './errors.ts';
import { pattern } from './normalisers.ts';
import { metaspaceOf } from './pre-tokenizers.ts';

export type TokenDecoder = (tokens: readonly string[]) => string[];

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

export const byteOf = (token: string): number | undefined =>
  /^<0x[0-9A-Fa-f]{2}>$/.test(token) ? Number.parseInt(token.slice(3, 5), 16) : undefined;

/** The bytes that a token in GPT-2's spelling stands for. */
export function spelledBytes(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = characterToByte.get(character);
    // One strange character, and the token stands for itself.
    if (byte === undefined) return encoder.encode(token);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

function byteFallback(tokens: readonly string[]): string[] {
  const made: string[] = [];
  let bytes: number[] = [];
  const flush = (): void => {
    if (bytes.length === 0) return;
    try {
      made.push(strict.decode(Uint8Array.from(bytes)));
    } catch {
      for (const _ of bytes) made.push('\ufffd');
    }
    bytes = [];
  };
  for (const token of tokens) {
    const byte = byteOf(token);
    if (byte !== undefined) {
      bytes.push(byte);
      continue;
    }
    flush();
    made.push(token);
  }
  flush();
  return made;
}

/** English as people write it (Hugging Face's clean-up). */
const cleaned = (text: string): string =>
  text
    .replaceAll(' .', '.')
    .replaceAll(' ?', '?')
    .replaceAll(' !', '!')
    .replaceAll(' ,', ',')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(' do not', " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");

function stripped(raw: unknown): TokenDecoder {
  const { content, start, stop } = z
    .object({ content: z.string(), start: z.number().int().min(0), stop: z.number().int().min(0) })
    .parse(raw);
  return (tokens) =>
    tokens.map((token) => {
      const characters = [...token];
      let from = 0;
      while (from < start && characters[from] === content) from++;
      let to = characters.length;
      while (characters.length - to < stop && to > 0 && characters[to - 1] === content) to--;
      return characters.slice(from, Math.max(from, to)).join('');
    });
}

/** @throws InkstoneError `tokenizer_unsupported`, ZodError where a part is not as it should be */
export function decoderOf(raw: unknown, depth = 0): TokenDecoder {
  if (raw === null || raw === undefined) return (tokens) => [tokens.join(' ')];
  const { type } = z.looseObject({ type: z.string() }).parse(raw);
  switch (type) {
    case 'Sequence': {
      if (depth > 8) throw unsupportedPart('a decoder of sequences within sequences');
      const parts = z.object({ decoders: z.array(z.unknown()).max(64) }).parse(raw).decoders;
      const all = parts.map((part) => decoderOf(part, depth + 1));
      return (tokens) => all.reduce<string[]>((made, next) => next(made), [...tokens]);
    }
    case 'ByteLevel':
      return (tokens) => [utf8.decode(joined(tokens.map(spelledBytes)))];
    case 'ByteFallback':
      return byteFallback;
    case 'Fuse':
      return (tokens) => [tokens.join('')];
    case 'Strip':
      return stripped(raw);
    case 'Replace': {
      const read = z.object({ pattern, content: z.string() }).parse(raw);
      return (tokens) => tokens.map((token) => token.replaceAll(read.pattern, () => read.content));
    }
    case 'Metaspace': {
      const { replacement, scheme } = metaspaceOf(raw);
      return (tokens) =>
        tokens.map((token, i) =>
          i === 0 && scheme !== 'never'
            ? token.replaceAll(replacement, '')
            : token.replaceAll(replacement, ' '),
        );
    }
    case 'WordPiece': {
      const { prefix, cleanup } = z
        .object({ prefix: z.string().default('##'), cleanup: z.boolean().default(true) })
        .parse(raw);
      return (tokens) =>
        tokens.map((token, i) => {
          const made = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
          return cleanup ? cleaned(made) : made;
        });
    }
    case 'BPEDecoder': {
      const { suffix } = z.object({ suffix: z.string().default('</w>') }).parse(raw);
      return (tokens) =>
        tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? '' : ' '));
    }
    default:
      throw unsupportedPart(`the decoder ${type}`);
  }
}
