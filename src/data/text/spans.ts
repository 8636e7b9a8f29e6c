/**
 * Questions whose answer stands in a passage, as tokens for a BERT's span head, and spans of scores as text again
 * (Devlin et al. 2019, section 4.2). Knows tokenizers; knows no network.
 */
import { InkstoneError } from '../../base/errors.ts';
import type { WordPieceTokenizer } from '../tokenizer/wordpiece.ts';
import { wordsWithPlaces } from '../tokenizer/wordpiece.ts';
import type { EncodedText } from './labelled.ts';

export interface EncodedQuestion extends EncodedText {
  /** Token of the row with which the passage begins, and the one after its last. */
  first: number;
  after: number;
  /** For each of the passage's tokens where its word begins and ends in the passage, in UTF-16 units. */
  places: readonly (readonly [number, number])[];
}

/**
 * `[CLS] question [SEP] passage [SEP]`; of a passage that does not fit, what comes after is cut.
 * @throws InkstoneError `context_length_exceeded` where the question leaves no room
 */
export function encodeQuestion(
  question: string,
  passage: string,
  tokenizer: WordPieceTokenizer,
  context: number,
): EncodedQuestion {
  const [cls, sep] = [tokenizer.special('[CLS]'), tokenizer.special('[SEP]')];
  const asked = [cls, ...tokenizer.encode(question), sep];
  const room = context - asked.length - 1;
  if (room < 1)
    throw new InkstoneError(
      'context_length_exceeded',
      `the question's ${asked.length} tokens leave no room in a context of ${context}`,
      { kind: 'usage', hint: 'ask in fewer words' },
    );
  const ids: number[] = [];
  const places: [number, number][] = [];
  for (const { word, start, end } of wordsWithPlaces(passage))
    for (const id of tokenizer.encode(word)) {
      ids.push(id);
      places.push([start, end]);
    }
  const kept = ids.slice(0, room);
  const tokens = Int32Array.from([...asked, ...kept, sep]);
  return {
    tokens,
    segments: new Int32Array(tokens.length).fill(1, asked.length),
    first: asked.length,
    after: asked.length + kept.length,
    places: places.slice(0, room),
  };
}

/** The row's tokens that hold the answer; undefined where it was cut away. */
export function answerTokens(
  { places, first }: EncodedQuestion,
  start: number,
  length: number,
): { start: number; end: number } | undefined {
  const end = start + length;
  const inside = places.flatMap(([from, to], i) => (from < end && to > start ? [i] : []));
  const [a, b] = [inside[0], inside.at(-1)];
  if (a === undefined || b === undefined || (places[b] as readonly [number, number])[1] < end)
    return undefined;
  return { start: first + a, end: first + b };
}

export interface Span {
  start: number;
  /** The last token, itself in it. */
  end: number;
  /** Sum of both scores. */
  score: number;
}

/** The best spans within the passage, of at most `longest` tokens, the best first. */
export function bestSpans(
  starts: ArrayLike<number>,
  ends: ArrayLike<number>,
  { first, after }: Pick<EncodedQuestion, 'first' | 'after'>,
  { longest = 30, count = 1 }: { longest?: number; count?: number } = {},
): Span[] {
  const found: Span[] = [];
  for (let start = first; start < after; start++)
    for (let end = start; end < Math.min(after, start + longest); end++) {
      const score = (starts[start] as number) + (ends[end] as number);
      if (found.length === count && score <= (found.at(-1) as Span).score) continue;
      const at = found.findIndex((one) => one.score < score);
      found.splice(at < 0 ? found.length : at, 0, { start, end, score });
      if (found.length > count) found.pop();
    }
  return found;
}

/** What stands in the passage where a span does, as it was written. */
export function spanText(passage: string, { places, first }: EncodedQuestion, { start, end }: Span): string {
  const [from] = places[start - first] as readonly [number, number];
  const [, to] = places[end - first] as readonly [number, number];
  return passage.slice(from, to);
}
