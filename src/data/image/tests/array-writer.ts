/** A set of pictures from given pixels, as preparing leaves it. For tests only. */
import { makeFolder, writeFile } from '../../../base/host.ts';
import { aboutFile, ImageSet, type ImageSetFile, pixelsFile } from '../array-file.ts';

export async function writtenSet(
  folder: string,
  pixels: Uint8Array,
  { size, channels = 1, ...more }: { size: number } & Partial<ImageSetFile>,
): Promise<ImageSet> {
  const count = pixels.length / (size * size * channels);
  const about: ImageSetFile = {
    ...{ count, size, channels, container: 'files', classes: [], fingerprint: 'f', skipped: [] },
    ...{ alike: [], alikeComplete: true },
    labels: new Array(count).fill(0),
    names: Array.from({ length: count }, (_, i) => `${i}.png`),
    ...more,
  };
  await makeFolder(folder);
  await writeFile(pixelsFile(folder), pixels);
  await writeFile(aboutFile(folder), JSON.stringify(about));
  return ImageSet.open(folder);
}
