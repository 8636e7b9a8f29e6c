/** GPT-2's spelling of bytes as printable characters, and its way of cutting text into words. */

/**
 * Byte → character: printable Latin-1 stands for itself, the other bytes for U+0100 and on
 * (Radford et al. 2019, encoder.py).
 */
export const byteToCharacter: readonly string[] = (() => {
  const table = new Array<string>(256);
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    table[byte] = String.fromCodePoint(printable ? byte : next++);
  }
  return table;
})();

export const characterToByte: ReadonlyMap<string, number> = new Map(
  byteToCharacter.map((c, byte) => [c, byte]),
);

/** Bytes in the order of their characters: the first 256 ids of a byte-level vocabulary. */
export const byteOrder: readonly number[] = Array.from({ length: 256 }, (_, i) => i).sort(
  (a, b) => (byteToCharacter[a] as string).codePointAt(0)! - (byteToCharacter[b] as string).codePointAt(0)!,
);

/**
 * GPT-2's pre-tokenizer: contractions, words, numbers, marks, each with the space before it. White space is
 * Unicode's property, as in the original; JavaScript's `\s` has U+FEFF too and lacks U+0085.
 */
export const WORDS =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/**
 * The same text in memory of its own. A word cut out of a text (13 units or more, in V8) only points into it:
 * kept in a table, it would keep the whole text. Whatever other engines do, the text is the same.
 */
export const ownCopy = (word: string): string => (word.length < 13 ? word : ` ${word}`.slice(1));
