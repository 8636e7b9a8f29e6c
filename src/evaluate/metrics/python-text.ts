/**
 * Text as Python sees it: its white space and its words. The reference implementations of text metrics are written in
 * Python, whose `str.split()` and `\s` know other spaces than JavaScript's `\s`.
 */

const SPACE = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const spaces = new RegExp(`[${SPACE}]+`, 'u');
const manySpaces = new RegExp(`[${SPACE}]{2,}`, 'gu');
const ends = new RegExp(`^[${SPACE}]+|[${SPACE}]+$`, 'gu');
const tail = new RegExp(`[${SPACE}]+$`, 'u');

/** `str.split()` */
export const words = (text: string): string[] => text.split(spaces).filter((word) => word !== '');
/** `str.strip()` */
export const strip = (text: string): string => text.replace(ends, '');
/** `str.rstrip()` */
export const stripEnd = (text: string): string => text.replace(tail, '');
/** `re.sub(r"\s\s+", " ", text)` */
export const singleSpaces = (text: string): string => text.replace(manySpaces, ' ');
/** Characters as Python counts them: code points. */
export const characters = (text: string): string[] => Array.from(text);

/** How often each of `items` comes. */
export function counts(items: Iterable<string>): Map<string, number> {
  const result = new Map<string, number>();
  for (const item of items) result.set(item, (result.get(item) ?? 0) + 1);
  return result;
}

/** All runs of `n` neighbours, each as one string that no other run has. */
export function runs(items: readonly string[], n: number): string[] {
  return Array.from({ length: Math.max(0, items.length - n + 1) }, (_, i) =>
    items.slice(i, i + n).join('\u0000'),
  );
}
