/**
 * Training and validation loss by step: an SVG chart that is read with the pointer or the arrow keys, and
 * the same numbers as a table. Knows points, not trainings.
 */
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { MetricPoint } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { LossTable } from './loss-table.tsx';
import { type Point, path, smoothed, thinned, ticks } from './scale.ts';

const HEIGHT = 300;
const MARGIN = { top: 14, right: 14, bottom: 42, left: 54 };
const MOST_POINTS = 500;
/** From this many points on the raw line goes pale and a smoothed one is drawn over it. */
const SMOOTH_FROM = 60;

export function LossChart({ points }: { points: readonly MetricPoint[] }) {
  const { t, format } = useTexts();
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(640);
  const [at, setAt] = useState<number>();
  useLayoutEffect(() => {
    if (box.current === null) return;
    const watcher = new ResizeObserver(
      ([entry]) => entry && setWidth(Math.max(240, entry.contentRect.width)),
    );
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);

  const train = points.flatMap(({ step, loss }): Point[] =>
    loss === undefined ? [] : [{ x: step, y: loss }],
  );
  const validation = points.flatMap(({ step, val_loss }): Point[] =>
    val_loss === undefined ? [] : [{ x: step, y: val_loss }],
  );
  const all = [...train, ...validation].filter((point) => Number.isFinite(point.y));
  const last = points.at(-1);
  if (all.length === 0 || last === undefined) return null;

  const yTicks = ticks(Math.min(...all.map((point) => point.y)), Math.max(...all.map((point) => point.y)), 5);
  const xMost = Math.max(1, last.step);
  const xTicks = ticks(0, xMost, width < 420 ? 3 : 6).filter((tick) => tick <= xMost);
  const [low, high] = [yTicks[0] as number, yTicks.at(-1) as number];
  const inner = {
    width: width - MARGIN.left - MARGIN.right,
    height: HEIGHT - MARGIN.top - MARGIN.bottom,
  };
  const x = (step: number) => MARGIN.left + (step / xMost) * inner.width;
  const y = (loss: number) => MARGIN.top + (1 - (loss - low) / (high - low)) * inner.height;
  const drawn = (line: readonly Point[]) =>
    path(thinned(line, MOST_POINTS).map((p) => ({ x: x(p.x), y: y(p.y) })));
  const isLong = train.length >= SMOOTH_FROM;

  const inspected = at === undefined ? undefined : points[Math.min(at, points.length - 1)];
  const loss = (value: number | undefined) => (value === undefined ? t.chart.none : format.decimal(value, 3));
  const reading = (point: MetricPoint) =>
    t.chart.at(
      format.integer(point.step),
      loss(point.loss),
      point.val_loss === undefined ? '' : loss(point.val_loss),
    );
  const point = (event: PointerEvent) => {
    const left = event.clientX - (box.current?.getBoundingClientRect().left ?? 0);
    setAt(nearest(points, ((left - MARGIN.left) / inner.width) * xMost));
  };
  const lossDigits = high - low < 0.5 ? 2 : 1;
  return (
    <figure class="chart">
      <figcaption class="chart-head">
        <span class="sheet-label">{t.chart.title}</span>
        <span class="chart-key">
          <span class="key-train">{t.chart.train}</span>
          {validation.length > 0 && <span class="key-validation">{t.chart.validation}</span>}
        </span>
      </figcaption>
      <div ref={box} class="chart-box" onPointerMove={point} onPointerLeave={() => setAt(undefined)}>
        <svg
          width={width}
          height={HEIGHT}
          viewBox={`0 0 ${width} ${HEIGHT}`}
          role="img"
          aria-label={`${t.chart.title}. ${t.chart.summary(
            format.integer(points.length),
            format.integer(last.step),
            loss(train.at(-1)?.y),
          )}`}
        >
          {yTicks.map((tick) => (
            <g key={tick}>
              <line class="grid" x1={MARGIN.left} x2={width - MARGIN.right} y1={y(tick)} y2={y(tick)} />
              <text class="tick" x={MARGIN.left - 8} y={y(tick) + 4} text-anchor="end">
                {format.decimal(tick, lossDigits)}
              </text>
            </g>
          ))}
          {xTicks.map((tick) => (
            <text class="tick" key={tick} x={x(tick)} y={HEIGHT - MARGIN.bottom + 18} text-anchor="middle">
              {format.compact(tick)}
            </text>
          ))}
          <text class="axis" x={MARGIN.left + inner.width / 2} y={HEIGHT - 6} text-anchor="middle">
            {t.chart.step}
          </text>
          <text
            class="axis"
            transform={`translate(13 ${MARGIN.top + inner.height / 2}) rotate(-90)`}
            text-anchor="middle"
          >
            {t.chart.loss}
          </text>
          <path class={isLong ? 'line-train raw' : 'line-train'} d={drawn(train)} />
          {isLong && <path class="line-train" d={drawn(smoothed(train, 0.92))} />}
          <path class="line-validation" d={drawn(validation)} />
          {thinned(validation, 60).map((p) => (
            <circle key={p.x} class="dot-validation" cx={x(p.x)} cy={y(p.y)} r={3} />
          ))}
          {inspected !== undefined && (
            <g class="cursor">
              <line
                x1={x(inspected.step)}
                x2={x(inspected.step)}
                y1={MARGIN.top}
                y2={HEIGHT - MARGIN.bottom}
              />
              {inspected.loss !== undefined && (
                <circle class="dot-train" cx={x(inspected.step)} cy={y(inspected.loss)} r={4.5} />
              )}
              {inspected.val_loss !== undefined && (
                <circle class="dot-validation" cx={x(inspected.step)} cy={y(inspected.val_loss)} r={4.5} />
              )}
            </g>
          )}
        </svg>
        <input
          class="chart-reader"
          type="range"
          min={0}
          max={points.length - 1}
          step={1}
          value={at ?? points.length - 1}
          aria-label={t.chart.inspect}
          aria-valuetext={reading(inspected ?? last)}
          onInput={(event) => setAt(Number(event.currentTarget.value))}
          onBlur={() => setAt(undefined)}
        />
      </div>
      <p class="chart-reading">{reading(inspected ?? last)}</p>
      <LossTable points={points} />
    </figure>
  );
}

function nearest(points: readonly MetricPoint[], step: number): number {
  let best = 0;
  points.forEach((point, index) => {
    if (Math.abs(point.step - step) < Math.abs((points[best] as MetricPoint).step - step)) best = index;
  });
  return best;
}
