/** How much of a text a tokenizer does not know: whether a model can learn from it at all. */
import { InkstoneError } from '../../base/errors.ts';
import type { Tokenizer } from './tokenizer.ts';
import { WordPieceTokenizer } from './wordpiece.ts';

/** Texts that are looked at, and characters of each: enough to tell a language. */
const LOOKED_AT = 200;
const CHARACTERS = 1000;
/** What is more is another language or alphabet, not a rare word. */
const MOST_UNKNOWN = 0.2;

/** Part of the characters (WordPiece: of the tokens) that stand for nothing known. */
export function unknownShare(texts: readonly string[], tokenizer: Tokenizer): number {
  let [unknown, all] = [0, 0];
  const every = Math.max(1, Math.floor(texts.length / LOOKED_AT));
  for (let i = 0; i < texts.length; i += every) {
    const text = (texts[i] as string).slice(0, CHARACTERS);
    if (tokenizer instanceof WordPieceTokenizer) {
      const ids = tokenizer.encode(text);
      const none = tokenizer.special('[UNK]');
      all += ids.length;
      unknown += ids.filter((id) => id === none).length;
    } else if (tokenizer.kind === 'characters') {
      const characters = [...text];
      all += characters.length;
      unknown += characters.length - tokenizer.encode(text, { unknown: 'skip' }).length;
    }
  }
  return all === 0 ? 0 : unknown / all;
}

/** @throws InkstoneError `vocabulary_differs` where a fifth or more of the texts is unknown to the model */
export function requireKnown(texts: readonly string[], tokenizer: Tokenizer, data: string): void {
  const share = unknownShare(texts, tokenizer);
  if (share < MOST_UNKNOWN) return;
  throw new InkstoneError(
    'vocabulary_differs',
    `the model's vocabulary does not know ${Math.round(100 * share)} % of ${data}`,
    {
      kind: 'conflict',
      hint: 'go on from a model of this language or one with byte-level tokens, or train a new one on such text first',
      details: { unknown: share },
    },
  );
}
