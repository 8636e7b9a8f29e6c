/** Training and validation loss by step, as a chart and as a table. Knows points, not trainings. */
import type { MetricPoint } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { ChartTable } from './chart-table.tsx';
import { LineChart } from './line-chart.tsx';

export function LossChart({ points }: { points: readonly MetricPoint[] }) {
  const { t, format } = useTexts();
  const last = points.at(-1);
  if (last === undefined) return null;
  const loss = (value: number | undefined) => (value === undefined ? t.chart.none : format.decimal(value, 3));
  const newest = points.findLast((point) => point.loss !== undefined)?.loss;
  return (
    <LineChart
      readings={points.map(({ step, loss: solid, val_loss: dashed }) => ({ step, solid, dashed }))}
      smooth
      words={{
        title: t.chart.title,
        axis: t.chart.loss,
        summary: t.chart.summary(format.integer(points.length), format.integer(last.step), loss(newest)),
        solid: t.chart.train,
        dashed: t.chart.validation,
        at: ({ step, solid, dashed }) =>
          t.chart.at(format.integer(step), loss(solid), dashed === undefined ? '' : loss(dashed)),
      }}
    >
      <ChartTable
        points={points}
        marked={(point) => point.val_loss !== undefined}
        columns={[
          [t.chart.train, (point) => point.loss, 3],
          [t.chart.validation, (point) => point.val_loss, 3],
          [t.train.speed, (point) => point.tokens_per_second, 0],
        ]}
      />
    </LineChart>
  );
}
