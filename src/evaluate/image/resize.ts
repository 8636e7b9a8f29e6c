/** Pictures' bytes as a network wants them: its size, its channels, its range, its order of axes. Knows no network. */
import type { PictureBytes } from './features.ts';

export interface Wanted {
  /** Rows and columns. */
  height: number;
  width: number;
  channels: 1 | 3;
  /** What 0 and 255 become. */
  range: readonly [number, number];
  /** Channels behind the pixels, as TensorFlow has them. */
  channelsLast: boolean;
}

/**
 * `count` pictures from place `from`, `[count, channels, height, width]` f32 (`[count, height, width, channels]` with channels
 * last). Bilinear between pixel centres, without smoothing first: as PyTorch's `interpolate(mode='bilinear',
 * align_corners=False)`, which FID's usual implementation takes. Grey becomes three equal channels, colour one mean.
 */
export function asInput(pictures: PictureBytes, from: number, count: number, wanted: Wanted): Float32Array {
  const { channels, size, pixels } = pictures;
  const { height, width, range, channelsLast } = wanted;
  const rows = weightsOf(size, height);
  const columns = weightsOf(size, width);
  const places = size * size;
  const stride = wanted.channels * height * width;
  const result = new Float32Array(count * stride);
  const scale = (range[1] - range[0]) / 255;
  const plane = new Float32Array(places);
  for (let picture = 0; picture < count; picture++)
    for (let channel = 0; channel < wanted.channels; channel++) {
      const first = (from + picture) * channels * places;
      if (wanted.channels === 1 && channels > 1) meanOf(plane, pixels, first, channels);
      else {
        const at = first + Math.min(channel, channels - 1) * places;
        for (let i = 0; i < places; i++) plane[i] = pixels[at + i] as number;
      }
      for (let y = 0; y < height; y++) {
        const [top, bottom, down] = rows[y] as Weight;
        for (let x = 0; x < width; x++) {
          const [left, right, across] = columns[x] as Weight;
          const upper = mix(plane[top * size + left] as number, plane[top * size + right] as number, across);
          const lower = mix(
            plane[bottom * size + left] as number,
            plane[bottom * size + right] as number,
            across,
          );
          const at = channelsLast
            ? (y * width + x) * wanted.channels + channel
            : (channel * height + y) * width + x;
          result[picture * stride + at] = mix(upper, lower, down) * scale + range[0];
        }
      }
    }
  return result;
}

/** Two neighbours, and how much of the second. */
type Weight = readonly [number, number, number];

function weightsOf(from: number, to: number): Weight[] {
  return Array.from({ length: to }, (_, i) => {
    const at = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const low = Math.min(from - 1, Math.floor(at));
    return [low, Math.min(from - 1, low + 1), at - low];
  });
}

const mix = (a: number, b: number, part: number): number => a + (b - a) * part;

function meanOf(plane: Float32Array, pixels: Uint8Array, first: number, channels: number): void {
  const places = plane.length;
  plane.fill(0);
  for (let channel = 0; channel < channels; channel++)
    for (let i = 0; i < places; i++)
      plane[i] = (plane[i] as number) + (pixels[first + channel * places + i] as number) / channels;
}
