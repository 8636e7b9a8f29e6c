/** The numbers behind the chart; long histories are shown by a fair selection of rows. */
import { useState } from 'preact/hooks';
import type { MetricPoint } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { chosenRows } from './scale.ts';

const MOST_ROWS = 60;

export function LossTable({ points }: { points: readonly MetricPoint[] }) {
  const { t, format } = useTexts();
  const [open, setOpen] = useState(false);
  const number = (value: number | undefined, digits: number) =>
    value === undefined ? '–' : format.decimal(value, digits);
  return (
    <details class="chart-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t.chart.table}</summary>
      {open && rows()}
    </details>
  );

  function rows() {
    const chosen = chosenRows(points.length, MOST_ROWS, (index) => points[index]?.val_loss !== undefined);
    return (
      <>
        {chosen.length < points.length && (
          <p class="help">
            {t.chart.tableNote(format.integer(chosen.length), format.integer(points.length))}
          </p>
        )}
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling area needs focus */}
        <div class="table-scroll tall" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">{t.chart.step}</th>
                <th scope="col">{t.chart.train}</th>
                <th scope="col">{t.chart.validation}</th>
                <th scope="col">{t.train.speed}</th>
              </tr>
            </thead>
            <tbody>
              {chosen.map((index) => {
                const point = points[index] as MetricPoint;
                return (
                  <tr key={point.step}>
                    <th scope="row">{format.integer(point.step)}</th>
                    <td>{number(point.loss, 3)}</td>
                    <td>{number(point.val_loss, 3)}</td>
                    <td>{number(point.tokens_per_second, 0)}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      </>
    );
  }
}
