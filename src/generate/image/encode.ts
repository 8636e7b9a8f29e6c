/** Pictures to files: PNG, WebP, JPEG, AVIF, with what they were made from written into them; and sheets of many. Knows no model. */
import sharp from 'sharp';
import type { Pictures } from './request.ts';

export const PICTURE_FORMATS = ['png', 'webp', 'jpeg', 'avif'] as const;
export type PictureFormat = (typeof PICTURE_FORMATS)[number];

/** What made the picture; goes into its XMP as JSON. */
export type Parameters = Readonly<Record<string, unknown>>;

const escaped = (text: string): string =>
  text.replace(/[<>&"]/g, (c) => ({ '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;' })[c] as string);

/** XMP (ISO 16684-1): the standard field for the maker's name, and our parameters beside it. */
export function xmpOf(parameters: Parameters): string {
  return `<?xpacket begin="\uFEFF" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:inkstone="https://inkstone.invalid/ns/1.0/" xmp:CreatorTool="Inkstone" Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia" inkstone:parameters="${escaped(JSON.stringify(parameters))}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`;
}

/** `[channels, size, size]` to rows of pixels. */
function interleaved({ channels, size, pixels }: Pictures, at: number): Uint8Array<ArrayBuffer> {
  const places = size * size;
  const result = new Uint8Array(channels * places);
  const start = at * channels * places;
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < places; i++) result[i * channels + c] = pixels[start + c * places + i] as number;
  return result;
}

export interface EncodeOptions {
  format?: PictureFormat;
  parameters?: Parameters;
  /** Pixels a side; default: as made. Whole multiples keep pixels sharp. */
  size?: number;
}

/** One of the pictures as a file's bytes. */
export async function encodePicture(
  pictures: Pictures,
  at: number,
  { format = 'png', parameters, size }: EncodeOptions = {},
): Promise<Uint8Array> {
  const { channels, size: side } = pictures;
  let image = sharp(interleaved(pictures, at), {
    raw: { width: side, height: side, channels: channels as 1 | 3 },
  });
  if (size !== undefined && size !== side)
    image = image.resize(size, size, { kernel: size % side === 0 ? 'nearest' : 'lanczos3' });
  if (parameters !== undefined) image = image.withXmp(xmpOf(parameters));
  // Lossy formats at their best: small pictures show every loss.
  return new Uint8Array(await image.toFormat(format, format === 'png' ? {} : { quality: 95 }).toBuffer());
}

/** All pictures in rows, with a line between them. */
export async function encodeSheet(
  pictures: Pictures,
  { columns = 8, scale = 2 }: { columns?: number; scale?: number } = {},
): Promise<Uint8Array> {
  const { count, channels, size } = pictures;
  const cell = size + 1;
  const rows = Math.ceil(count / columns);
  const width = columns * cell + 1;
  const height = rows * cell + 1;
  const sheet = new Uint8Array(width * height * channels).fill(128);
  for (let i = 0; i < count; i++) {
    const own = interleaved(pictures, i);
    const left = (i % columns) * cell + 1;
    const top = Math.floor(i / columns) * cell + 1;
    for (let y = 0; y < size; y++)
      sheet.set(
        own.subarray(y * size * channels, (y + 1) * size * channels),
        ((top + y) * width + left) * channels,
      );
  }
  return new Uint8Array(
    await sharp(sheet, { raw: { width, height, channels: channels as 1 | 3 } })
      .resize(width * scale, height * scale, { kernel: 'nearest' })
      .png()
      .toBuffer(),
  );
}

export interface AnimationOptions extends Omit<EncodeOptions, 'format'> {
  gif?: boolean;
  /** Milliseconds a picture. */
  delay?: number;
}

/** All pictures one after another, as WebP or GIF, without end. */
export async function encodeAnimation(
  pictures: Pictures,
  { gif = false, delay = 60, size, parameters }: AnimationOptions = {},
): Promise<Uint8Array> {
  const { count, size: side } = pictures;
  const shown = size ?? side;
  const frames: Buffer[] = [];
  for (let i = 0; i < count; i++)
    frames.push(Buffer.from(await encodePicture(pictures, i, { format: 'png', size: shown })));
  const animated = sharp(frames, { join: { animated: true } });
  const options = { loop: 0, delay: new Array<number>(count).fill(delay) };
  if (gif) {
    const bytes = new Uint8Array(await animated.gif(options).toBuffer());
    return parameters === undefined ? bytes : withComment(bytes, JSON.stringify(parameters));
  }
  const told = parameters === undefined ? animated : animated.withXmp(xmpOf(parameters));
  return new Uint8Array(await told.webp({ ...options, quality: 90 }).toBuffer());
}

/** A GIF with a comment extension (GIF89a, section 24) before its first picture: the format has no other place for words. */
function withComment(gif: Uint8Array, text: string): Uint8Array {
  const flags = gif[10] as number;
  const palette = (flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 7) + 1);
  const at = 13 + palette;
  const words = new TextEncoder().encode(text);
  const parts = [gif.subarray(0, at), Uint8Array.of(0x21, 0xfe)];
  for (let from = 0; from < words.length; from += 255) {
    const part = words.subarray(from, from + 255);
    parts.push(Uint8Array.of(part.length), part);
  }
  return Uint8Array.from(Buffer.concat([...parts, Uint8Array.of(0), gif.subarray(at)]));
}
