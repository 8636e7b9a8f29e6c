/** Tokens that were added to a vocabulary: found in a text before anything else is done with it. Knows no model. */
import { z } from 'zod';
import { invalidFile } from './errors.ts';
import { Trie } from './trie.ts';
import { MOST_TOKENS } from './vocabulary.ts';

export const addedToken = z.object({
  id: z
    .number()
    .int()
    .min(0)
    .max(MOST_TOKENS - 1),
  content: z.string(),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().default(false),
  special: z.boolean().default(false),
});
export type AddedToken = z.output<typeof addedToken>;

/** A piece of text, or a token that was found. */
export interface AddedPart {
  start: number;
  end: number;
  token: AddedToken | undefined;
}

const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const lastOf = (text: string): string => [...text.slice(-2)].at(-1) ?? '';
const firstOf = (text: string): string => [...text.slice(0, 2)][0] ?? '';

/** Finds tokens from left to right, the longest first where several begin at one place. */
export class AddedTokens {
  private readonly tokens: readonly AddedToken[];
  private readonly trie: Trie;
  private readonly starts: ReadonlySet<string>;

  /** @param spelled how a token stands in the text that is searched */
  constructor(tokens: readonly AddedToken[], spelled: (content: string) => string = (content) => content) {
    this.tokens = tokens;
    const entries = tokens
      .map(({ content }, i) => [spelled(content), i] as const)
      .filter(([content]) => content !== '');
    this.trie = new Trie(entries);
    this.starts = new Set(entries.map(([content]) => content.charAt(0)));
  }

  split(text: string): AddedPart[] {
    const parts: AddedPart[] = [];
    let done = 0;
    for (let at = 0; at < text.length && this.starts.size > 0; ) {
      const found = this.starts.has(text.charAt(at)) ? this.trie.longest(text, at) : undefined;
      if (found === undefined) {
        at++;
        continue;
      }
      const token = this.tokens[found.id] as AddedToken;
      let [start, end] = [at, found.end];
      at = end;
      if (
        token.single_word &&
        (WORD.test(lastOf(text.slice(0, start))) || WORD.test(firstOf(text.slice(end))))
      )
        continue;
      if (token.lstrip) start -= /\p{White_Space}*$/u.exec(text.slice(done, start))?.[0].length ?? 0;
      if (token.rstrip) end += /^\p{White_Space}*/u.exec(text.slice(end))?.[0].length ?? 0;
      start = Math.max(start, done);
      if (start > done) parts.push({ start: done, end: start, token: undefined });
      parts.push({ start, end, token });
      done = end;
    }
    if (done < text.length) parts.push({ start: done, end: text.length, token: undefined });
    return parts;
  }
}

/** @throws InkstoneError `tokenizer_invalid` where a token has two ids, or an id two tokens */
export function checkAdded(
  added: readonly AddedToken[],
  vocabulary: ReadonlyMap<string, number>,
): AddedToken[] {
  const byId = new Map<number, string>([...vocabulary].map(([token, id]) => [id, token]));
  for (const { id, content } of added) {
    const known = vocabulary.get(content);
    if (known !== undefined && known !== id)
      throw invalidFile(`the token ${JSON.stringify(content)} has two ids`);
    const other = byId.get(id);
    if (other !== undefined && other !== content)
      throw invalidFile(`the id ${id} belongs to ${JSON.stringify(other)} and to ${JSON.stringify(content)}`);
    byId.set(id, content);
  }
  return [...added];
}
