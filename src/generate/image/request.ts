/**
 * What makers of pictures are asked, and what all of them do with it: labels checked, rows cut into batches that there are
 * programs for, parts put together. Knows no network.
 */
import { InkstoneError } from '../../base/errors.ts';

export interface MakePictures {
  /** One picture a seed. */
  seeds: readonly number[];
  /** Class of each; left out where the model has no classes. */
  labels?: readonly number[];
  /** 1 leaves the variety as it was trained; nearer to 0, pictures come nearer to the average. */
  truncation?: number;
  /** Where the model has styles: the later layers of each picture take those of this seed, from `crossover` on. */
  mixWith?: { seeds: readonly number[]; crossover: number };
  /** Latents in place of the seeds' own, one a picture: for the way between two pictures. */
  latents?: readonly Float32Array[];
  /** Where the model has styles: those of all layers, one after another, in place of what the latents give. */
  styles?: readonly Float32Array[];
}

/** `[count, channels, size, size]`, 0 … 255. */
export interface Pictures {
  count: number;
  channels: number;
  size: number;
  pixels: Uint8Array<ArrayBuffer>;
}

export interface PictureMaker {
  make(request: MakePictures): Promise<Pictures>;
  close(): Promise<void>;
}

/** Pictures of one run: enough to fill the cores. */
export const BATCHES = [1, 16, 64] as const;

/** @throws InkstoneError `label_unknown` */
export function requireLabels(labels: readonly number[] | undefined, classes: number): void {
  const wrong = labels?.find(
    (label) => !Number.isInteger(label) || label < 0 || label >= Math.max(1, classes),
  );
  if (wrong === undefined) return;
  throw new InkstoneError('label_unknown', `there is no class ${wrong}`, {
    kind: 'usage',
    hint: classes === 0 ? 'this model has no classes' : `classes are 0 to ${classes - 1}`,
  });
}

/** The request for some of its pictures; `from` are pictures to start from, one a seed. */
export function rowsOf<Request extends MakePictures & { from?: Float32Array }>(
  request: Request,
  start: number,
  end: number,
): Request {
  const { seeds, labels, mixWith, latents, styles, from } = request;
  const stride = (from?.length ?? 0) / seeds.length;
  return {
    ...request,
    seeds: seeds.slice(start, end),
    ...(labels === undefined ? {} : { labels: labels.slice(start, end) }),
    ...(mixWith === undefined ? {} : { mixWith: { ...mixWith, seeds: mixWith.seeds.slice(start, end) } }),
    ...(latents === undefined ? {} : { latents: latents.slice(start, end) }),
    ...(styles === undefined ? {} : { styles: styles.slice(start, end) }),
    ...(from === undefined ? {} : { from: from.subarray(start * stride, end * stride) }),
  };
}

/** The largest batches that there are programs for, one after another. */
export async function inBatches(
  count: number,
  work: (from: number, to: number) => Promise<void>,
): Promise<void> {
  for (let at = 0; at < count; ) {
    const batch = BATCHES.filter((b) => b <= count - at).at(-1) as number;
    await work(at, at + batch);
    at += batch;
  }
}

/**
 * All pictures of a request, `part` of them at a time: the same as at once where a part is whole batches.
 * @param before each part, told how many are done; what it throws ends the work
 */
export async function makeInParts<Request extends MakePictures & { from?: Float32Array }>(
  maker: { make(request: Request): Promise<Pictures> },
  request: Request,
  part: number,
  before: (done: number) => void,
): Promise<Pictures> {
  const count = request.seeds.length;
  let all: Pictures | undefined;
  for (let at = 0; at < count; at += part) {
    before(at);
    const made = await maker.make(rowsOf(request, at, Math.min(count, at + part)));
    const stride = made.pixels.length / made.count;
    all ??= { ...made, count, pixels: new Uint8Array(count * stride) };
    all.pixels.set(made.pixels, at * stride);
  }
  return all as Pictures;
}
