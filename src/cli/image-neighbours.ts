/** A sheet of samples with their nearest training pictures, and the same in numbers: what `--neighbours` writes. */
import { makeFolder, writeFile } from '../base/host.ts';
import type { ImageSet } from '../data/image/array-file.ts';
import type { FeatureNetwork } from '../evaluate/image/features.ts';
import { madeNeighbours, type NeighbourSummary, neighbourRows } from '../evaluate/image/neighbours.ts';
import { backendProducts } from '../evaluate/image/products.ts';
import { pictureMaker } from '../generate/image/any.ts';
import { encodeSheet } from '../generate/image/encode.ts';
import { classesOf } from '../models/image/any.ts';
import { loadImageModel } from '../models/image/load.ts';
import type { Backend } from '../runtime/contract.ts';

/** Pictures below which a sheet is drawn without being asked for: little data is learned by heart. */
const FEW = 10_000;
/** Rows of the sheet where nobody says. */
const USUAL = 16;
/** Nearest pictures by each view. */
const NEAREST = 3;
/** Pictures that the numbers are of. */
const COUNTED = 256;
/** As the sample sheets of a training. */
const SEED = 1000;

/** Rows of the sheet: as asked for, else some where there is little data. */
export const neighbourCount = (wanted: number | undefined, set: ImageSet): number =>
  wanted ?? (set.info.count < FEW ? USUAL : 0);

export interface NeighbourFiles {
  neighbours: string;
  /** On the network's features, and on plain pixels: how near to the training pictures; see docs/protocol-image.md. */
  nearest_features: NeighbourSummary;
  nearest_pixels: NeighbourSummary;
}

export async function writeNeighbours(
  {
    folder,
    out,
    set,
    network,
    backend,
  }: { folder: string; out: string; set: ImageSet; network: FeatureNetwork; backend: Backend },
  { rows, note }: { rows: number; note: (what: string) => void },
): Promise<NeighbourFiles> {
  note('nearest training pictures');
  const { config, weights } = await loadImageModel(folder);
  const classes = classesOf(config);
  const count = Math.max(rows, COUNTED);
  const maker = pictureMaker(config, backend, weights);
  const seeds = Array.from({ length: count }, (_, i) => SEED + i);
  const labels = seeds.map((_, i) => i % Math.max(1, classes));
  try {
    const made = await maker.make({ seeds, ...(classes > 0 ? { labels } : {}) });
    const found = await madeNeighbours({
      ...{ network, made, k: NEAREST },
      training: set,
      products: (width) => backendProducts(backend, width),
    });
    const sheet = await neighbourRows(made, set, found, { rows, k: NEAREST });
    await makeFolder(out);
    const file = `${out}/neighbours.png`;
    await writeFile(file, await encodeSheet(sheet.pictures, { columns: sheet.columns }));
    const named = ({ place, distance }: { place: number; distance: number }) => ({
      ...{ place, name: set.names[place] ?? '' },
      distance: Number(distance.toPrecision(6)),
    });
    const rowsOf = seeds.slice(0, rows).map((seed, i) => ({
      seed,
      ...(classes > 0 ? { label: labels[i] } : {}),
      features: (found.features[i] ?? []).map(named),
      pixels: (found.pixels[i] ?? []).map(named),
    }));
    const about = { network: found.network, pictures: count, summary: found.summary, rows: rowsOf };
    await writeFile(`${out}/neighbours.json`, `${JSON.stringify(about, null, 2)}\n`);
    return {
      neighbours: file,
      nearest_features: found.summary.features,
      nearest_pixels: found.summary.pixels,
    };
  } finally {
    await maker.close();
  }
}

/** For people. */
export function neighbourLines(found: Partial<NeighbourFiles>): string[] {
  if (found.neighbours === undefined) return [];
  const say = (what: string, summary: NeighbourSummary | undefined): string[] =>
    summary === undefined
      ? []
      : [
          `nearest training picture by ${what}: median ${summary.made.toPrecision(3)} (among training pictures ${summary.real.toPrecision(3)}), nearer than is usual: ${(100 * summary.copies).toFixed(1)} %`,
        ];
  return [
    ...say('features', found.nearest_features),
    ...say('pixels', found.nearest_pixels),
    `samples beside their nearest training pictures: ${found.neighbours}`,
  ];
}
