/** Pictures of one set that look like pictures of another: test pictures that were trained on. Knows no files. */
import { type Alike, type Looks, readLooks } from './alike.ts';
import type { ImageSet } from './array-file.ts';

/** Pictures that are read at a time. */
const PART = 500;

async function looksOf(set: ImageSet): Promise<Looks> {
  const { stride } = set;
  const { count, channels, size } = set.info;
  const looks = readLooks();
  for (let from = 0; from < count; from += PART) {
    const pixels = await set.readRange(from, PART);
    for (let at = 0; at < pixels.length; at += stride)
      looks.add(pixels.subarray(at, at + stride), channels, size);
  }
  return looks;
}

/** @returns pairs of places in the training part and in the test part */
export async function trainedOn(training: ImageSet, test: ImageSet): Promise<Alike> {
  return (await looksOf(training)).pairsWith(
    await looksOf(test),
    (place) => training.readRange(place, 1),
    (place) => test.readRange(place, 1),
  );
}
