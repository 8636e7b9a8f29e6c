/**
 * Reads a Hugging Face `tokenizer.json`: byte-level BPE (GPT-2 and its kin) and our character vocabularies.
 * @throws InkstoneError `tokenizer_invalid`, `tokenizer_unsupported`
 */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { BpeTokenizer, END_OF_TEXT } from './bpe.ts';
import { characterToByte } from './byte-alphabet.ts';
import { CharacterTokenizer } from './characters.ts';
import type { Tokenizer } from './tokenizer.ts';

const file = z.object({
  added_tokens: z.array(z.object({ id: z.number().int().min(0), content: z.string() })).default([]),
  pre_tokenizer: z.object({ type: z.string() }).loose().nullish(),
  model: z.object({
    type: z.string().default('BPE'),
    vocab: z.record(z.string(), z.number().int().min(0)),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])).default([]),
  }),
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
  const { model, pre_tokenizer: pre, added_tokens: added } = read.data;
  if (model.type !== 'BPE') {
    throw new InkstoneError('tokenizer_unsupported', `a tokenizer of the type ${model.type} cannot be read`, {
      kind: 'unsupported',
      hint: 'byte-level BPE and character tokenizers can',
    });
  }
  if (pre === null || pre === undefined) return characters(model.vocab, model.merges.length);
  if (pre.type !== 'ByteLevel') {
    throw new InkstoneError('tokenizer_unsupported', `the pre-tokenizer ${pre.type} is not known`, {
      kind: 'unsupported',
      hint: 'ByteLevel is',
    });
  }
  return byteLevel(model.vocab, model.merges, added);
}

function byId(vocab: Readonly<Record<string, number>>): string[] {
  const tokens = new Array<string>(Object.keys(vocab).length);
  for (const [token, id] of Object.entries(vocab)) {
    if (id >= tokens.length || tokens[id] !== undefined)
      throw new InkstoneError('tokenizer_invalid', `the id ${id} is given twice or leaves a gap`, {
        kind: 'data',
      });
    tokens[id] = token;
  }
  return tokens;
}

function characters(vocab: Readonly<Record<string, number>>, merges: number): CharacterTokenizer {
  const tokens = byId(vocab);
  if (merges > 0 || tokens.some((t) => [...t].length !== 1)) {
    throw new InkstoneError(
      'tokenizer_unsupported',
      'BPE without a byte-level pre-tokenizer cannot be read',
      { kind: 'unsupported' },
    );
  }
  return new CharacterTokenizer(tokens);
}

function byteLevel(
  vocab: Readonly<Record<string, number>>,
  merges: readonly (string | readonly [string, string])[],
  added: readonly { id: number; content: string }[],
): BpeTokenizer {
  const all = { ...vocab };
  for (const { id, content } of added) all[content] ??= id;
  const special = new Set(added.map((a) => a.content));
  const names = byId(all);
  const tokens = names.map((name) => {
    if (special.has(name)) return new TextEncoder().encode(name);
    return Uint8Array.from([...name], (c) => {
      const byte = characterToByte.get(c);
      if (byte === undefined)
        throw new InkstoneError(
          'tokenizer_invalid',
          `the token ${JSON.stringify(name)} has a character that stands for no byte`,
          { kind: 'data' },
        );
      return byte;
    });
  });
  const triples = merges.map((merge): [number, number, number] => {
    const [left, right] = typeof merge === 'string' ? (merge.split(' ') as [string, string]) : merge;
    const ids = [all[left], all[right], all[`${left}${right}`]];
    if (ids.some((id) => id === undefined))
      throw new InkstoneError('tokenizer_invalid', `the merge ${left} ${right} is not in the vocabulary`, {
        kind: 'data',
      });
    return ids as [number, number, number];
  });
  return new BpeTokenizer({ tokens, merges: triples, endOfText: all[END_OF_TEXT] });
}
