/** Small charts of the last while, each with its newest values in words. */
import { useTexts } from '../i18n/index.ts';
import { HEIGHT, highest, pathOf, WIDTH } from './line.ts';
import type { Point } from './live.ts';

interface Line {
  name: string;
  values: readonly (number | null)[];
}

export function Charts({ points }: { points: readonly Point[] }) {
  const { t, format } = useTexts();
  const words = t.watch.charts;
  const of = (pick: (point: Point) => number | null) => points.map(pick);
  const seconds = (value: number): string => `${format.decimal(value, 2)} s`;
  return (
    <div class="watch-charts">
      <Chart
        title={words.load}
        lines={[
          { name: words.running, values: of(({ running }) => running) },
          { name: words.waiting, values: of(({ waiting }) => waiting) },
        ]}
        show={format.integer}
      />
      <Chart
        title={words.tokens}
        lines={[{ name: words.written, values: of(({ tokensPerSecond }) => tokensPerSecond) }]}
        show={(value) => format.decimal(value, 1)}
      />
      <Chart
        title={words.first}
        lines={[
          { name: words.half, values: of(({ firstToken50 }) => firstToken50) },
          { name: words.most, values: of(({ firstToken95 }) => firstToken95) },
        ]}
        show={seconds}
      />
    </div>
  );
}

function Chart({
  title,
  lines,
  show,
}: {
  title: string;
  lines: readonly Line[];
  show: (value: number) => string;
}) {
  const { t } = useTexts();
  const words = t.watch.charts;
  const top = highest(
    lines.map(({ values }) => values),
    1e-6,
  );
  const known = lines.some(({ values }) => values.some((value) => value !== null));
  const newest = ({ name, values }: Line): string => {
    const last = values.at(-1) ?? null;
    return words.now(name, last === null ? t.watch.none : show(last));
  };
  return (
    <figure class="sheet watch-chart">
      <figcaption>{title}</figcaption>
      {known ? (
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
          {lines.map(({ name, values }, i) => (
            <path key={name} class={`watch-line line-${i}`} d={pathOf(values, Math.max(1e-6, top))} />
          ))}
        </svg>
      ) : (
        <p class="quiet-note">{words.empty}</p>
      )}
      <ul class="watch-legend">
        {lines.map((line, i) => (
          <li key={line.name}>
            <span class={`watch-key line-${i}`} aria-hidden="true" />
            {newest(line)}
          </li>
        ))}
      </ul>
    </figure>
  );
}
