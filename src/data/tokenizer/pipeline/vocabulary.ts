/** What every vocabulary must keep to, whoever wrote it: ids that are numbers, merges that build tokens from smaller ones. */
import type { Merge } from '../bpe-merge.ts';
import { invalidFile } from './errors.ts';

/** More tokens than any tokenizer has; a file that says more is damaged or lies. */
export const MOST_TOKENS = 2 ** 21;

/** @throws InkstoneError `tokenizer_invalid` */
export function vocabularyMap(raw: unknown): Map<string, number> {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
    throw invalidFile('the vocabulary is no record of tokens and ids');
  const ids = new Map<string, number>();
  for (const [token, id] of Object.entries(raw)) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0)
      throw invalidFile(`the token ${JSON.stringify(token)} has the id ${JSON.stringify(id)}`);
    if (id >= MOST_TOKENS)
      throw invalidFile(`the token ${JSON.stringify(token)} has the id ${id}, past any vocabulary`);
    ids.set(token, id);
  }
  return ids;
}

/**
 * Merges as ids. @param idsOf left and right → [left, right, merged]
 * @throws InkstoneError `tokenizer_invalid` for an empty part, and where tokens are made of each other in a circle
 */
export function checkMerges(
  merges: readonly (string | readonly [string, string])[],
  idsOf: (left: string, right: string) => Merge,
): Merge[] {
  const made = merges.map((merge): Merge => {
    const [left, right, more] = typeof merge === 'string' ? merge.split(' ') : [...merge];
    if (left === undefined || right === undefined || left === '' || right === '' || more !== undefined)
      throw invalidFile(`the merge ${JSON.stringify(merge)} does not join two tokens`);
    return idsOf(left, right);
  });
  const parts = new Map<number, number[]>();
  for (const [left, right, merged] of made) {
    const known = parts.get(merged);
    if (known === undefined) parts.set(merged, [left, right]);
    else known.push(left, right);
  }
  /** 1: being looked at, 2: rests on nothing that rests on it. */
  const state = new Map<number, 1 | 2>();
  for (const root of parts.keys()) {
    const stack = [root];
    while (stack.length > 0) {
      const id = stack.at(-1) as number;
      if (state.get(id) !== undefined) {
        state.set(id, 2);
        stack.pop();
        continue;
      }
      state.set(id, 1);
      for (const part of parts.get(id) ?? []) {
        if (state.get(part) === 1)
          throw invalidFile(
            `its merges go in a circle: the token ${id} is made of tokens that are made of it`,
          );
        if (state.get(part) === undefined) stack.push(part);
      }
    }
  }
  return made;
}
