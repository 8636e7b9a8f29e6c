/**
 * One or two numbers by step: an SVG chart that is read with the pointer or the arrow keys. Knows readings and what they are
 * called, not what they are of.
 */
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { useTexts } from '../i18n/index.ts';
import { type Point, path, smoothed, thinned, ticks } from './scale.ts';

export interface Reading {
  step: number;
  /** Drawn through. */
  solid?: number | undefined;
  /** Drawn in dashes, with dots. */
  dashed?: number | undefined;
}

export interface ChartWords {
  title: string;
  /** Of the upright axis. */
  axis: string;
  /** All of it in one sentence. */
  summary: string;
  solid: string;
  dashed?: string;
  at(reading: Reading): string;
}

interface Properties {
  readings: readonly Reading[];
  words: ChartWords;
  /** Long solid lines go pale, with a smoothed one over them. */
  smooth?: boolean;
  /** Every solid value has its dot: where there are few. */
  dots?: boolean;
  /** The same numbers as a table. */
  children?: ComponentChildren;
}

const HEIGHT = 300;
const MARGIN = { top: 14, right: 14, bottom: 42, left: 54 };
const MOST_POINTS = 500;
/** From this many points on a line is smoothed. */
const SMOOTH_FROM = 60;

export function LineChart({ readings, words, smooth = false, dots = false, children }: Properties) {
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

  const line = (name: 'solid' | 'dashed') =>
    readings.flatMap((reading): Point[] => {
      const y = reading[name];
      return y === undefined ? [] : [{ x: reading.step, y }];
    });
  const solid = line('solid');
  const dashed = line('dashed');
  const all = [...solid, ...dashed].filter((point) => Number.isFinite(point.y));
  const last = readings.at(-1);
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
  const y = (value: number) => MARGIN.top + (1 - (value - low) / (high - low)) * inner.height;
  const drawn = (points: readonly Point[]) =>
    path(thinned(points, MOST_POINTS).map((p) => ({ x: x(p.x), y: y(p.y) })));
  const isLong = smooth && solid.length >= SMOOTH_FROM;

  const inspected = at === undefined ? undefined : readings[Math.min(at, readings.length - 1)];
  const point = (event: PointerEvent) => {
    const left = event.clientX - (box.current?.getBoundingClientRect().left ?? 0);
    setAt(nearest(readings, ((left - MARGIN.left) / inner.width) * xMost));
  };
  const digits = high - low < 0.5 ? 2 : high - low < 50 ? 1 : 0;
  return (
    <figure class="chart">
      <figcaption class="chart-head">
        <span class="sheet-label">{words.title}</span>
        <span class="chart-key">
          <span class="key-train">{words.solid}</span>
          {dashed.length > 0 && <span class="key-validation">{words.dashed}</span>}
        </span>
      </figcaption>
      <div ref={box} class="chart-box" onPointerMove={point} onPointerLeave={() => setAt(undefined)}>
        <svg
          width={width}
          height={HEIGHT}
          viewBox={`0 0 ${width} ${HEIGHT}`}
          role="img"
          aria-label={`${words.title}. ${words.summary}`}
        >
          {yTicks.map((tick) => (
            <g key={tick}>
              <line class="grid" x1={MARGIN.left} x2={width - MARGIN.right} y1={y(tick)} y2={y(tick)} />
              <text class="tick" x={MARGIN.left - 8} y={y(tick) + 4} text-anchor="end">
                {format.decimal(tick, digits)}
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
            {words.axis}
          </text>
          <path class={isLong ? 'line-train raw' : 'line-train'} d={drawn(solid)} />
          {isLong && <path class="line-train" d={drawn(smoothed(solid, 0.92))} />}
          {dots &&
            thinned(solid, 60).map((p) => (
              <circle key={p.x} class="dot-train" cx={x(p.x)} cy={y(p.y)} r={3} />
            ))}
          <path class="line-validation" d={drawn(dashed)} />
          {thinned(dashed, 60).map((p) => (
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
              {inspected.solid !== undefined && (
                <circle class="dot-train" cx={x(inspected.step)} cy={y(inspected.solid)} r={4.5} />
              )}
              {inspected.dashed !== undefined && (
                <circle class="dot-validation" cx={x(inspected.step)} cy={y(inspected.dashed)} r={4.5} />
              )}
            </g>
          )}
        </svg>
        <input
          class="chart-reader"
          type="range"
          min={0}
          max={readings.length - 1}
          step={1}
          value={at ?? readings.length - 1}
          aria-label={t.chart.inspect}
          aria-valuetext={words.at(inspected ?? last)}
          onInput={(event) => setAt(Number(event.currentTarget.value))}
          onBlur={() => setAt(undefined)}
        />
      </div>
      <p class="chart-reading">{words.at(inspected ?? last)}</p>
      {children}
    </figure>
  );
}

function nearest(readings: readonly Reading[], step: number): number {
  let best = 0;
  readings.forEach((reading, index) => {
    if (Math.abs(reading.step - step) < Math.abs((readings[best] as Reading).step - step)) best = index;
  });
  return best;
}
