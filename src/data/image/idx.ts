/** Pictures in IDX files, as MNIST comes: `…images-idx3-ubyte` and `…labels-idx1-ubyte`, gzipped or not. */
import { gunzipSync } from 'node:zlib';
import { InkstoneError } from '../../base/errors.ts';
import { facts, listFiles, readBytes } from '../../base/host.ts';
import { readIdx } from '../../formats/idx.ts';

export interface IdxFiles {
  images: string;
  labels: string | undefined;
}

export interface IdxPictures {
  count: number;
  size: number;
  /** `[count, size, size]` */
  pixels: Uint8Array;
  labels: Uint8Array | undefined;
}

const IMAGES = /images[-.]idx3[-.]ubyte(\.gz)?$/;

/** The files of a folder (its training part, or its test part `t10k`), or one images file and the labels beside it. */
export async function findIdx(path: string, split: 'train' | 'test'): Promise<IdxFiles | undefined> {
  const about = await facts(path);
  if (about === undefined) return undefined;
  if (about.kind !== 'folder') return IMAGES.test(path) ? withLabels(path) : undefined;
  const found = (await listFiles(path)).filter((name) => IMAGES.test(name));
  if (found.length === 0) return undefined;
  const isTest = (name: string): boolean => /t10k|test/i.test(name);
  const name = found.find((one) => isTest(one) === (split === 'test'));
  if (name === undefined)
    throw new InkstoneError('data_missing', `${path} has no ${split} part`, {
      kind: 'missing',
      hint: `it has ${found.join(', ')}`,
    });
  return withLabels(`${path}/${name}`);
}

async function withLabels(images: string): Promise<IdxFiles> {
  const labels = images.replace(/images([-.])idx3/, 'labels$1idx1');
  return { images, labels: (await facts(labels)) === undefined ? undefined : labels };
}

/** A claim of more is damage. */
const LARGEST = 2 ** 31;

async function idxFile(file: string): Promise<ReturnType<typeof readIdx>> {
  const bytes = await readBytes(file);
  if (!/\.gz$/.test(file)) return readIdx(bytes);
  try {
    return readIdx(gunzipSync(bytes, { maxOutputLength: LARGEST }));
  } catch (cause) {
    if (InkstoneError.is(cause)) throw cause;
    throw new InkstoneError('data_corrupt', `${file} is damaged: ${(cause as Error).message}`, {
      kind: 'data',
      hint: 'fetch it again',
      cause,
    });
  }
}

/** @throws InkstoneError `idx_invalid`, `data_corrupt` */
export async function readIdxPictures({ images, labels }: IdxFiles): Promise<IdxPictures> {
  const pictures = await idxFile(images);
  const [count, high, wide] = pictures.shape as readonly [number, number, number];
  if (pictures.shape.length !== 3 || high !== wide)
    throw new InkstoneError(
      'idx_invalid',
      `${images} holds [${pictures.shape.join(', ')}], not square pictures`,
      {
        kind: 'data',
        hint: 'give the images file (idx3)',
      },
    );
  const given = labels === undefined ? undefined : await idxFile(labels);
  if (given !== undefined && (given.shape.length !== 1 || given.shape[0] !== count))
    throw new InkstoneError(
      'idx_invalid',
      `${labels} has [${given.shape.join(', ')}] labels for ${count} pictures`,
      {
        kind: 'data',
        hint: 'images and labels must be of one part',
      },
    );
  return { count, size: high, pixels: pictures.data, labels: given?.data };
}
