/**
 * Errors of recognised speech: word, match and character error rate and word information lost (Morris et al. 2004), as
 * jiwer 4 computes them. Where several shortest edits exist, the one is taken that jiwer's aligner takes, for hits and
 * substitutions depend on it.
 */
import { characters, singleSpaces, strip } from './python-text.ts';

export interface EditCounts {
  hits: number;
  substitutions: number;
  deletions: number;
  insertions: number;
}

export interface ErrorRates {
  wer: number;
  mer: number;
  wil: number;
}

/** The shortest edit that turns `reference` into `hypothesis`. */
export function edit(reference: readonly string[], hypothesis: readonly string[]): EditCounts {
  let start = 0;
  let [end, other] = [reference.length, hypothesis.length];
  while (start < end && start < other && reference[start] === hypothesis[start]) start++;
  while (end > start && other > start && reference[end - 1] === hypothesis[other - 1]) {
    end--;
    other--;
  }
  const counts = { hits: reference.length - (end - start), substitutions: 0, deletions: 0, insertions: 0 };
  const [rows, columns] = [end - start, other - start];
  const width = columns + 1;
  const distance = new Uint32Array((rows + 1) * width);
  const at = (i: number, j: number): number => distance[i * width + j] as number;
  const same = (i: number, j: number): boolean => reference[start + i - 1] === hypothesis[start + j - 1];
  for (let i = 0; i <= rows; i++) {
    for (let j = 0; j <= columns; j++) {
      distance[i * width + j] =
        i === 0 || j === 0
          ? i + j
          : Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (same(i, j) ? 0 : 1));
    }
  }
  let [i, j] = [rows, columns];
  while (i > 0 && j > 0) {
    if (at(i, j) === at(i - 1, j) + 1) {
      counts.deletions++;
      i--;
    } else {
      j--;
      // An insertion where the column before falls from the row above to this one.
      if (j > 0 && at(i, j) === at(i - 1, j) - 1) counts.insertions++;
      else {
        if (same(i, j + 1)) counts.hits++;
        else counts.substitutions++;
        i--;
      }
    }
  }
  counts.deletions += i;
  counts.insertions += j;
  return counts;
}

const wordsOf = (line: string): string[] =>
  strip(singleSpaces(line))
    .split(' ')
    .filter((word) => word !== '');

function totals(pairs: readonly (readonly [readonly string[], readonly string[]])[]): EditCounts {
  const sum: EditCounts = { hits: 0, substitutions: 0, deletions: 0, insertions: 0 };
  for (const [reference, hypothesis] of pairs) {
    const one = edit(reference, hypothesis);
    sum.hits += one.hits;
    sum.substitutions += one.substitutions;
    sum.deletions += one.deletions;
    sum.insertions += one.insertions;
  }
  return sum;
}

function rates({ hits, substitutions, deletions, insertions }: EditCounts): ErrorRates {
  const errors = substitutions + deletions + insertions;
  const spoken = hits + substitutions + deletions;
  const recognised = hits + substitutions + insertions;
  // Silence: what was heard in it is counted, not divided.
  if (spoken === 0) return { wer: insertions, mer: recognised === 0 ? 0 : 1, wil: recognised === 0 ? 0 : 1 };
  const preserved = recognised === 0 ? 0 : (hits / spoken) * (hits / recognised);
  return { wer: errors / spoken, mer: errors / (spoken + insertions), wil: 1 - preserved };
}

/** Over all segments together. @param references one for each hypothesis */
export function wordErrors(hypotheses: readonly string[], references: readonly string[]): ErrorRates {
  return rates(totals(hypotheses.map((h, i) => [wordsOf(references[i] as string), wordsOf(h)])));
}

/** Spaces are characters, too. */
export function characterErrorRate(hypotheses: readonly string[], references: readonly string[]): number {
  const of = (line: string): string[] => characters(strip(line));
  return rates(totals(hypotheses.map((h, i) => [of(references[i] as string), of(h)]))).wer;
}
