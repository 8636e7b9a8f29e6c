/** What of a picture is made anew: a square of marks at the model's own size, painted with a round brush. Knows no drawing. */

export interface Mask {
  readonly size: number;
  /** 1 where the picture is made anew. */
  readonly marks: Uint8Array;
}

export const emptyMask = (size: number): Mask => ({ size, marks: new Uint8Array(size * size) });

export const fullMask = (size: number): Mask => ({ size, marks: new Uint8Array(size * size).fill(1) });

/** A new mask with a dot of `width` pixels across around a place, painted (or wiped). */
export function dotted(
  { size, marks }: Mask,
  dot: { x: number; y: number; width: number; paint?: boolean },
): Mask {
  const { x, y, width, paint = true } = dot;
  const next = Uint8Array.from(marks);
  // Half a pixel more than half the width: a brush of one paints one, of two a cross of nothing but whole pixels.
  const reach = width / 2;
  for (let row = Math.floor(y - reach); row <= Math.ceil(y + reach); row++)
    for (let column = Math.floor(x - reach); column <= Math.ceil(x + reach); column++) {
      if (row < 0 || column < 0 || row >= size || column >= size) continue;
      if (Math.hypot(column - x, row - y) < reach + 0.25) next[row * size + column] = paint ? 1 : 0;
    }
  return { size, marks: next };
}

/** Dots along the way from one place to another: a quick hand skips places. */
export function stroked(
  mask: Mask,
  from: { x: number; y: number },
  to: { x: number; y: number },
  brush: { width: number; paint?: boolean },
): Mask {
  const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y)));
  let next = mask;
  for (let step = 0; step <= steps; step++)
    next = dotted(next, {
      x: Math.round(from.x + ((to.x - from.x) * step) / steps),
      y: Math.round(from.y + ((to.y - from.y) * step) / steps),
      ...brush,
    });
  return next;
}

/** 0 to 1. */
export const partOf = ({ marks }: Mask): number =>
  marks.reduce((total, mark) => total + mark, 0) / marks.length;

/** As the wire takes it, RGBA: transparent where the picture is made anew. */
export function maskPixels({ marks }: Mask): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(marks.length * 4);
  marks.forEach((mark, i) => {
    pixels[i * 4 + 3] = mark === 1 ? 0 : 255;
  });
  return pixels;
}
