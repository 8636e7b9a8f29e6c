/** Scores a classifier on a labelled table, for `inkstone train classify` and `inkstone classify`. */
import { InkstoneError } from '../base/errors.ts';
import type { LabelledText } from '../data/text/labelled.ts';
import { type ClassScores, scoreClasses } from '../evaluate/index.ts';
import type { Classified, TextClassifier } from '../operate/text-classifier.ts';

export interface ClassifierScore {
  accuracy: number;
  /** At 95 %: Wilson. */
  accuracy_interval: [number, number];
  macro_f1: number;
  /** At 95 %: bootstrap over the rows. */
  macro_f1_interval: [number, number];
  classes: ClassScores['classes'];
  /** `[actual][said]`, in the order of `classes`. */
  confusion: number[][];
  /** Share of the most frequent class: what saying always the same would give. */
  majority: number;
  count: number;
}

/** @throws InkstoneError `label_unknown` where the table has a label that the model lacks */
export function scoreClassifier(
  { labels }: Pick<TextClassifier, 'labels'>,
  rows: readonly LabelledText[],
  answers: readonly Classified[],
): ClassifierScore {
  const actual = rows.map(({ label }) => {
    const found = labels.indexOf(label);
    if (found >= 0) return found;
    throw new InkstoneError('label_unknown', `the model has no label "${label}"`, {
      kind: 'data',
      hint: `its labels are ${labels.join(', ')}`,
    });
  });
  const said = answers.map(({ label }) => labels.indexOf(label));
  const { accuracy, macroF1, classes, confusion } = scoreClasses(actual, said, labels);
  return {
    accuracy: accuracy.value,
    accuracy_interval: [accuracy.lower, accuracy.upper],
    macro_f1: macroF1.value,
    macro_f1_interval: [macroF1.lower, macroF1.upper],
    classes,
    confusion,
    majority: Math.max(...classes.map(({ support }) => support)) / rows.length,
    count: rows.length,
  };
}

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
const between = ([lower, upper]: readonly [number, number]): string =>
  `95 % from ${(100 * lower).toFixed(1)} to ${(100 * upper).toFixed(1)}`;

export const classifierScoreLines = (score: ClassifierScore): string[] => [
  `accuracy ${percent(score.accuracy)} (${between(score.accuracy_interval)}; always the most frequent class: ${percent(score.majority)})`,
  `macro F1 ${percent(score.macro_f1)} (${between(score.macro_f1_interval)}), ${score.count} rows`,
  ...score.classes.map(
    ({ label, precision, recall, f1, support }) =>
      `  ${label}: precision ${percent(precision)}, recall ${percent(recall)}, F1 ${percent(f1)}, ${support} rows`,
  ),
];
