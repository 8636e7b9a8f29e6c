/**
 * What is done to training pictures at random before any network sees them, so that few of them stand for more: mirrored,
 * cropped, recoloured. Unlike what only a critic is shown, a generator learns it. Knows no training and no files.
 */

/** Pictures one after the other, `[rows, channels, size, size]`, −1 … 1. */
export interface PictureRows {
  values: Float32Array;
  rows: number;
  channels: number;
  size: number;
}

type Uniform = () => number;

/** Each with a chance of one half. */
export function mirror({ values, rows, size }: PictureRows, uniform: Uniform): void {
  const stride = values.length / rows;
  for (let row = 0; row < rows; row++) {
    if (uniform() < 0.5) continue;
    for (let line = row * stride; line < (row + 1) * stride; line += size)
      values.subarray(line, line + size).reverse();
  }
}

/** A square of at least 1 − `most` of the side, anywhere, brought to the full size bilinearly. */
export function crop({ values, rows, channels, size }: PictureRows, most: number, uniform: Uniform): void {
  const plane = size * size;
  for (let row = 0; row < rows; row++) {
    const part = 1 - most * uniform();
    const [left, top] = [uniform() * (1 - part) * size, uniform() * (1 - part) * size];
    const acrossAt = places(left, part, size);
    const downAt = places(top, part, size);
    for (let channel = 0; channel < channels; channel++) {
      const start = (row * channels + channel) * plane;
      const source = values.slice(start, start + plane);
      for (let y = 0; y < size; y++)
        for (let x = 0; x < size; x++) {
          const [down, across] = [downAt[y] as Place, acrossAt[x] as Place];
          const line = (at: number): number => {
            const [a, b] = [
              source[at * size + across.from] as number,
              source[at * size + across.to] as number,
            ];
            return a + (b - a) * across.share;
          };
          const upper = line(down.from);
          values[start + y * size + x] = upper + (line(down.to) - upper) * down.share;
        }
    }
  }
}

/** Two neighbours on an axis, and how much of the second. */
interface Place {
  from: number;
  to: number;
  share: number;
}

const places = (start: number, part: number, size: number): Place[] =>
  Array.from({ length: size }, (_, i) => {
    const at = Math.min(size - 1, Math.max(0, start + (i + 0.5) * part - 0.5));
    const from = Math.floor(at);
    return { from, to: Math.min(size - 1, from + 1), share: at - from };
  });

/** Contrast and, of colour pictures, saturation up to `most` more or less; brightness up to half of it. */
export function jitter({ values, rows, channels, size }: PictureRows, most: number, uniform: Uniform): void {
  const plane = size * size;
  const around = (): number => most * (2 * uniform() - 1);
  for (let row = 0; row < rows; row++) {
    const [contrast, brightness, saturation] = [1 + around(), around() / 2, 1 + around()];
    for (let pixel = 0; pixel < plane; pixel++) {
      const at = (channel: number): number => (row * channels + channel) * plane + pixel;
      let grey = 0;
      for (let channel = 0; channel < channels; channel++) grey += (values[at(channel)] as number) / channels;
      for (let channel = 0; channel < channels; channel++) {
        const value = values[at(channel)] as number;
        const coloured = channels === 1 ? value : grey + (value - grey) * saturation;
        values[at(channel)] = Math.min(1, Math.max(-1, coloured * contrast + brightness));
      }
    }
  }
}
