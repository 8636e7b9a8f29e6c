/**
 * A picture's file to pixels of one size. Files are not trusted: what is damaged, tiny, huge or a bomb is refused with a
 * reason, never fatally.
 */
import sharp from 'sharp';

/** Pixels that a file may claim to have. */
const MOST_PIXELS = 64e6;
/** Smaller than this a side, nothing can be seen. */
const FEWEST = 8;

export interface DecodeOptions {
  /** Pixels a side. */
  size: number;
  channels: 1 | 3;
  /** How a picture that is not square fits: cut to its middle, or with borders. */
  fit: 'cover' | 'contain';
}

export type Decoded = { pixels: Uint8Array } | { problem: string };

/** `pixels` `[channels, size, size]`; transparency becomes white. */
export async function decodePicture(bytes: Uint8Array, options: DecodeOptions): Promise<Decoded> {
  const { size, channels, fit } = options;
  if (bytes.length === 0) return { problem: 'empty' };
  try {
    const vector = isVector(bytes);
    const picture = sharp(bytes, {
      limitInputPixels: MOST_PIXELS,
      failOn: 'error',
      // A drawing has no size of its own: it is drawn large and shrunk.
      ...(vector ? { density: 300 } : {}),
    });
    const { width, height } = await picture.metadata();
    if (width < FEWEST || height < FEWEST) return { problem: `${width} × ${height} pixels are too few` };
    const raw = await picture
      .rotate()
      .flatten({ background: '#ffffff' })
      .resize(size, size, { fit, background: '#ffffff' })
      .toColourspace(channels === 1 ? 'b-w' : 'srgb')
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { pixels: planes(raw.data, raw.info.channels, channels, size) };
  } catch (cause) {
    const message = (cause as Error).message.split('\n')[0] as string;
    return { problem: /pixel limit/i.test(message) ? 'more pixels than any picture here may have' : message };
  }
}

const isVector = (bytes: Uint8Array): boolean =>
  /<svg[\s>]/i.test(new TextDecoder().decode(bytes.subarray(0, 1000)));

/** `[size, size, from]` to `[channels, size, size]`. */
function planes(data: Uint8Array, from: number, channels: number, size: number): Uint8Array {
  const result = new Uint8Array(channels * size * size);
  for (let i = 0; i < size * size; i++)
    for (let c = 0; c < channels; c++)
      result[c * size * size + i] = data[i * from + Math.min(c, from - 1)] as number;
  return result;
}
