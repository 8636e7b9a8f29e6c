/** Points of a small chart: values over time to a path, with gaps where nothing is known. Knows no colours. */

export const WIDTH = 300;
export const HEIGHT = 72;
const EDGE = 3;

/** The highest value of all lines, at least `least`. */
export function highest(lines: readonly (readonly (number | null)[])[], least: number): number {
  return lines.flat().reduce<number>((most, value) => Math.max(most, value ?? 0), least);
}

/** An SVG path; a value that stands alone is a dot. */
export function pathOf(values: readonly (number | null)[], top: number): string {
  const step = values.length > 1 ? WIDTH / (values.length - 1) : 0;
  let path = '';
  let drawing = false;
  for (const [i, value] of values.entries()) {
    if (value === null) {
      drawing = false;
      continue;
    }
    const x = (i * step).toFixed(1);
    const y = (HEIGHT - EDGE - (value / top) * (HEIGHT - 2 * EDGE)).toFixed(1);
    const alone = !drawing && (values[i + 1] ?? null) === null;
    path += `${drawing ? 'L' : 'M'}${x} ${y}${alone ? 'h0.1' : ''}`;
    drawing = true;
  }
  return path;
}
