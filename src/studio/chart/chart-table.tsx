/** The numbers behind a chart; long histories are shown by a fair selection of rows. */
import { useState } from 'preact/hooks';
import type { MetricPoint } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { chosenRows } from './scale.ts';

const MOST_ROWS = 60;

interface Properties {
  points: readonly MetricPoint[];
  /** Its head, its value, and how many digits. */
  columns: readonly (readonly [string, (point: MetricPoint) => number | undefined, number])[];
  /** Rows that are shown first of all. */
  marked: (point: MetricPoint) => boolean;
}

export function ChartTable({ points, columns, marked }: Properties) {
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
    const chosen = chosenRows(points.length, MOST_ROWS, (index) => marked(points[index] as MetricPoint));
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
                {columns.map(([name]) => (
                  <th key={name} scope="col">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {chosen.map((index) => {
                const point = points[index] as MetricPoint;
                return (
                  <tr key={point.step}>
                    <th scope="row">{format.integer(point.step)}</th>
                    {columns.map(([name, value, digits]) => (
                      <td key={name}>{number(value(point), digits)}</td>
                    ))}
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
