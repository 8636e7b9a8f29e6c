/**
 * Scores of a classifier: accuracy with Wilson's interval, precision, recall and F1 of each class as scikit-learn has
 * them (0 where nothing was said or nothing was there), their plain mean (macro F1) with a bootstrap interval.
 */
import { bootstrap, type Interval } from '../statistics.ts';
import { type Proportion, proportion } from './answers.ts';

export interface ClassScore {
  label: string;
  precision: number;
  recall: number;
  f1: number;
  /** Rows that are of this class. */
  support: number;
}

export interface ClassScores {
  accuracy: Proportion;
  /** Over the classes that were there or were said. */
  macroF1: Interval;
  classes: ClassScore[];
  /** `confusion[actual][said]` */
  confusion: number[][];
}

function counted(pairs: number, classes: number, pick: (i: number) => readonly [number, number]): number[][] {
  const table = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (let i = 0; i < pairs; i++) {
    const [actual, said] = pick(i);
    const row = table[actual] as number[];
    row[said] = (row[said] as number) + 1;
  }
  return table;
}

interface Counts {
  right: number;
  said: number;
  there: number;
}

const countsOf = (table: readonly (readonly number[])[]): Counts[] =>
  table.map((row, c) => ({
    right: row[c] as number,
    said: table.reduce((total, other) => total + (other[c] as number), 0),
    there: row.reduce((total, count) => total + count, 0),
  }));

const f1Of = ({ right, said, there }: Counts): number => (right === 0 ? 0 : (2 * right) / (said + there));

function macro(table: readonly (readonly number[])[]): number {
  const seen = countsOf(table).filter(({ said, there }) => said + there > 0);
  return seen.reduce((total, one) => total + f1Of(one), 0) / seen.length;
}

/** Of classes by number; both lists have a class for each row. */
export function scoreClasses(
  actual: readonly number[],
  said: readonly number[],
  labels: readonly string[],
): ClassScores {
  const rows = actual.length;
  const pick = (i: number): readonly [number, number] => [actual[i] as number, said[i] as number];
  const confusion = counted(rows, labels.length, pick);
  const macroF1 = bootstrap(rows, (picks) =>
    macro(counted(rows, labels.length, (i) => pick(picks === undefined ? i : (picks[i] as number)))),
  );
  return {
    accuracy: proportion(actual.filter((label, i) => label === said[i]).length, rows),
    macroF1,
    classes: countsOf(confusion).map((one, c) => ({
      label: labels[c] as string,
      precision: one.said === 0 ? 0 : one.right / one.said,
      recall: one.there === 0 ? 0 : one.right / one.there,
      f1: f1Of(one),
      support: one.there,
    })),
    confusion,
  };
}
