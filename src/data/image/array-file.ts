/**
 * Pictures of one size as one file of bytes, read at any place, with their labels and names beside it: a collection may be
 * larger than memory. Knows no formats.
 */
import { type OpenFile, openFile, readText } from '../../base/host.ts';

export interface ImageSetInfo {
  count: number;
  /** Pixels a side. */
  size: number;
  channels: number;
  /** IDX files come mixed; of other containers the pictures of a class often stand together. */
  container: 'idx' | 'files';
  /** Names of the classes; empty for pictures without labels. */
  classes: readonly string[];
  /** Of pixels and labels in order. */
  fingerprint: string;
  /** Files that were passed over, and why. */
  skipped: readonly { name: string; problem: string }[];
  /** Where a table of labels leaves pictures out: then no labels are used. */
  unlisted?: { table: string; count: number; first: string };
  /** Pairs of pictures that look alike, by place: the first of them and a later one. */
  alike: readonly [number, number][];
  /** False where more pictures may look alike: not all were compared. */
  alikeComplete: boolean;
}

export interface ImageSetFile extends ImageSetInfo {
  labels: readonly number[];
  names: readonly string[];
}

export const pixelsFile = (folder: string): string => `${folder}/images.u8`;
export const aboutFile = (folder: string): string => `${folder}/images.json`;

/** `wanted` places of `count`, spread evenly; all where there are no more. */
export function spread(count: number, wanted: number): number[] {
  const rows = Math.min(count, wanted);
  return Array.from({ length: rows }, (_, i) => Math.floor((i * count) / rows));
}

export class ImageSet {
  readonly info: ImageSetInfo;
  /** Class of each picture; all 0 without classes. */
  readonly labels: Int32Array;
  readonly names: readonly string[];
  /** Bytes of one picture. */
  readonly stride: number;
  private readonly file: OpenFile;

  private constructor(about: ImageSetFile, file: OpenFile) {
    const { labels, names, ...info } = about;
    this.info = info;
    this.labels = Int32Array.from(labels);
    this.names = names;
    this.stride = info.channels * info.size * info.size;
    this.file = file;
  }

  static async open(folder: string): Promise<ImageSet> {
    const about = JSON.parse(await readText(aboutFile(folder))) as ImageSetFile;
    return new ImageSet(about, await openFile(pixelsFile(folder), 'read'));
  }

  /** `[places, channels, size, size]` */
  async read(places: ArrayLike<number>): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(places.length * this.stride);
    // Places that follow each other are one read.
    for (let from = 0, to = 0; from < places.length; from = to) {
      const first = places[from] as number;
      for (to = from + 1; places[to] === first + to - from; ) to++;
      await this.file.read(bytes.subarray(from * this.stride, to * this.stride), first * this.stride);
    }
    return bytes;
  }

  /** Places of `wanted` pictures that stand for all: the first of IDX files, else spread evenly. */
  sample(wanted: number): number[] {
    const { container, count } = this.info;
    return spread(container === 'idx' ? Math.min(count, wanted) : count, wanted);
  }

  /** A run of pictures at one go. */
  async readRange(start: number, count: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(Math.max(0, Math.min(count, this.info.count - start)) * this.stride);
    await this.file.read(bytes, start * this.stride);
    return bytes;
  }

  close(): Promise<void> {
    return this.file.close();
  }
}
