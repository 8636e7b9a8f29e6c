/**
 * ROUGE-N, ROUGE-L and ROUGE-Lsum (Lin 2004) as google-research's rouge_score computes them: its tokens, its stemmer,
 * of several references the one with the best F.
 */
import { porterStem } from './porter.ts';
import { counts, runs } from './python-text.ts';

export interface RougeScore {
  p: number;
  r: number;
  f: number;
}

export const ROUGE_KINDS = ['rouge1', 'rouge2', 'rougeL', 'rougeLsum'] as const;
export type RougeKind = (typeof ROUGE_KINDS)[number];
export type RougeScores = Record<RougeKind, RougeScore>;

function tokensOf(text: string, stem: boolean): string[] {
  const all = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, ' ')
    .split(' ')
    .filter((token) => token !== '');
  return stem ? all.map((token) => (token.length > 3 ? porterStem(token) : token)) : all;
}

function scoreOf(hits: number, predicted: number, wanted: number): RougeScore {
  const p = hits / Math.max(predicted, 1);
  const r = hits / Math.max(wanted, 1);
  return { p, r, f: p + r > 0 ? (2 * p * r) / (p + r) : 0 };
}

function ngramScore(target: readonly string[], prediction: readonly string[], n: number): RougeScore {
  const theirs = counts(runs(prediction, n));
  let hits = 0;
  for (const [run, count] of counts(runs(target, n))) hits += Math.min(count, theirs.get(run) ?? 0);
  return scoreOf(hits, Math.max(0, prediction.length - n + 1), Math.max(0, target.length - n + 1));
}

/** Lengths of the longest common subsequences of all beginnings, row by row. */
function table(a: readonly string[], b: readonly string[]): { at(i: number, j: number): number } {
  const width = b.length + 1;
  const lengths = new Uint32Array((a.length + 1) * width);
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const place = i * width + j;
      lengths[place] =
        a[i - 1] === b[j - 1]
          ? (lengths[place - width - 1] as number) + 1
          : Math.max(lengths[place - width] as number, lengths[place - 1] as number);
    }
  }
  return { at: (i, j) => lengths[i * width + j] as number };
}

/** Places in `target` of one longest common subsequence. */
function commonPlaces(target: readonly string[], prediction: readonly string[]): number[] {
  const lengths = table(target, prediction);
  const places: number[] = [];
  let [i, j] = [target.length, prediction.length];
  while (i > 0 && j > 0) {
    if (target[i - 1] === prediction[j - 1]) {
      places.push(i - 1);
      i--;
      j--;
    } else if (lengths.at(i, j - 1) > lengths.at(i - 1, j)) j--;
    else i--;
  }
  return places;
}

/** Sentences are lines; a sentence of the target counts what it shares with any of the prediction's. */
function summaryScore(targets: readonly string[][], predictions: readonly string[][]): RougeScore {
  const wanted = targets.reduce((n, s) => n + s.length, 0);
  const predicted = predictions.reduce((n, s) => n + s.length, 0);
  if (wanted === 0 || predicted === 0) return { p: 0, r: 0, f: 0 };
  const left = counts(predictions.flat());
  const leftOfTarget = counts(targets.flat());
  let hits = 0;
  for (const target of targets) {
    const places = new Set(predictions.flatMap((prediction) => commonPlaces(target, prediction)));
    for (const place of [...places].sort((a, b) => a - b)) {
      const token = target[place] as string;
      const [own, theirs] = [leftOfTarget.get(token) ?? 0, left.get(token) ?? 0];
      if (own === 0 || theirs === 0) continue;
      hits++;
      left.set(token, theirs - 1);
      leftOfTarget.set(token, own - 1);
    }
  }
  return scoreOf(hits, predicted, wanted);
}

function scoreOne(target: string, prediction: string, stem: boolean): RougeScores {
  const [wanted, predicted] = [tokensOf(target, stem), tokensOf(prediction, stem)];
  const sentences = (text: string): string[][] =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => tokensOf(line, stem));
  const common =
    wanted.length === 0 || predicted.length === 0
      ? 0
      : table(wanted, predicted).at(wanted.length, predicted.length);
  return {
    rouge1: ngramScore(wanted, predicted, 1),
    rouge2: ngramScore(wanted, predicted, 2),
    rougeL: scoreOf(common, predicted.length, wanted.length),
    rougeLsum: summaryScore(sentences(target), sentences(prediction)),
  };
}

/** Of one prediction. */
export function rouge(prediction: string, references: readonly string[], stem = false): RougeScores {
  const all = references.map((reference) => scoreOne(reference, prediction, stem));
  return Object.fromEntries(
    ROUGE_KINDS.map((kind) => [
      kind,
      all.map((one) => one[kind]).reduce((best, one) => (one.f > best.f ? one : best)),
    ]),
  ) as RougeScores;
}

/** Mean over the segments. */
export function meanRouge(
  predictions: readonly string[],
  references: readonly (readonly string[])[],
  stem = false,
): RougeScores {
  const all = predictions.map((prediction, i) => rouge(prediction, references[i] as readonly string[], stem));
  const mean = (kind: RougeKind, part: keyof RougeScore): number =>
    all.reduce((total, one) => total + one[kind][part], 0) / Math.max(1, all.length);
  return Object.fromEntries(
    ROUGE_KINDS.map((kind) => [kind, { p: mean(kind, 'p'), r: mean(kind, 'r'), f: mean(kind, 'f') }]),
  ) as RougeScores;
}
