/** Arithmetic of a line chart: round ticks, fewer points where there are too many. Knows no drawing. */

export interface Point {
  x: number;
  y: number;
}

/** Round numbers that span a range, about `count` of them; at least two. */
export function ticks(low: number, high: number, count: number): number[] {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return [low, low + 1];
  const rough = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) =>
    Number(((first + index) * step).toPrecision(12)),
  );
}

/** At most `most` points: the mean of each stretch; the first and last stay where they are. */
export function thinned(points: readonly Point[], most: number): Point[] {
  if (points.length <= most) return [...points];
  const size = points.length / most;
  return Array.from({ length: most }, (_, index) => {
    const part = points.slice(
      Math.floor(index * size),
      Math.max(Math.floor((index + 1) * size), Math.floor(index * size) + 1),
    );
    const y = part.reduce((sum, point) => sum + point.y, 0) / part.length;
    const edge = index === 0 ? part[0] : index === most - 1 ? part.at(-1) : undefined;
    return {
      x: edge?.x ?? part.reduce((sum, point) => sum + point.x, 0) / part.length,
      y,
    };
  });
}

/** Exponential moving average, corrected for its start; `keep` is the weight of the past. */
export function smoothed(points: readonly Point[], keep: number): Point[] {
  let mean = 0;
  let weight = 0;
  return points.map(({ x, y }) => {
    mean = mean * keep + y * (1 - keep);
    weight = weight * keep + (1 - keep);
    return { x, y: mean / weight };
  });
}

/** SVG path through points. */
export function path(points: readonly Point[]): string {
  return points
    .map(({ x, y }, index) => `${index === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`)
    .join('');
}

/** Indices of at most `most` rows, evenly, with the first, the last and every marked one that fits. */
export function chosenRows(count: number, most: number, marked: (index: number) => boolean): number[] {
  if (count <= most) return Array.from({ length: count }, (_, index) => index);
  const even = (total: number) => (_: unknown, index: number) =>
    Math.round((index * (count - 1)) / (total - 1));
  const wanted = Array.from({ length: count }, (_, index) => index).filter(marked);
  const some = wanted.length <= most / 2 ? wanted : [];
  const rows = new Set([
    ...some,
    ...Array.from({ length: Math.max(2, most - some.length) }, even(Math.max(2, most - some.length))),
  ]);
  return [...rows].sort((one, other) => one - other);
}
