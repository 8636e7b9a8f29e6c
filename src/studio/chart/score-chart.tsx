/** How near a model's pictures are to the real ones, by step. Knows points, not trainings. */
import type { MetricPoint } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { ChartTable } from './chart-table.tsx';
import { LineChart } from './line-chart.tsx';

const DIGITS = 2;

export function ScoreChart({ points }: { points: readonly MetricPoint[] }) {
  const { t, format } = useTexts();
  const words = t.pictures.train;
  const judged = points.filter((point) => point.score !== undefined);
  const last = judged.at(-1);
  if (last === undefined) return null;
  const score = (value: number | undefined) =>
    value === undefined ? t.chart.none : format.decimal(value, DIGITS);
  const name = words.score(last.score_name ?? '');
  return (
    <LineChart
      readings={judged.map(({ step, score: solid }) => ({ step, solid }))}
      dots
      words={{
        title: words.scoreTitle,
        axis: words.scoreAxis,
        summary: words.scoreSummary(
          format.integer(judged.length),
          format.integer(last.step),
          score(last.score),
        ),
        solid: name,
        at: ({ step, solid }) => words.scoreAt(format.integer(step), score(solid)),
      }}
    >
      <ChartTable
        points={judged}
        marked={() => false}
        columns={[
          [name, (point) => point.score, DIGITS],
          [words.loss, (point) => point.loss, 3],
          [words.speed, (point) => point.tokens_per_second, 0],
        ]}
      />
    </LineChart>
  );
}
