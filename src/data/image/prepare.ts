/**
 * Pictures in any container to one array file: decoded, checked, resized, labelled; what looks alike is reported. Made once
 * and used again while the data stay the same. Knows no model.
 */
import { createHash } from 'node:crypto';
import { InkstoneError } from '../../base/errors.ts';
import {
  exists,
  facts,
  listTree,
  makeFolder,
  openFile,
  readText,
  writeAtomically,
  writeFile,
} from '../../base/host.ts';
import { type Alike, readLooks } from './alike.ts';
import { aboutFile, ImageSet, type ImageSetFile, pixelsFile } from './array-file.ts';
import { decodePicture } from './decode.ts';
import { findIdx, type IdxPictures, readIdxPictures } from './idx.ts';
import { type LabelTable, labelOf, readLabels } from './labels.ts';
import { pictureFiles, TABLE, wanted } from './sources.ts';

export interface PrepareImages {
  /** Where the array file goes. */
  folder: string;
  /** Pixels a side; default: what IDX files have. */
  size?: number;
  channels: 1 | 3;
  fit?: 'cover' | 'contain';
  /** Of IDX files that come in two parts. */
  split?: 'train' | 'test';
  progress?(done: number): void;
}

/** @throws InkstoneError `data_missing`, `data_empty`, `data_corrupt`, `labels_invalid` */
export async function prepareImages(path: string, options: PrepareImages): Promise<ImageSet> {
  const key = await keyOf(path, options);
  await makeFolder(options.folder);
  if (await isPrepared(options.folder, key)) return ImageSet.open(options.folder);
  const digest = createHash('sha256');
  const collector = new Collector(digest);
  const idx = await findIdx(path, options.split ?? 'train');
  await writeAtomically(pixelsFile(options.folder), async (write) => {
    const put = async (pixels: Uint8Array): Promise<void> => {
      digest.update(pixels);
      await write(pixels);
    };
    if (idx === undefined) await collector.fromFiles(path, options, put);
    else await collector.fromIdx(await readIdxPictures(idx), options, put);
  });
  const about = await collector.finish(path, options);
  await writeFile(aboutFile(options.folder), JSON.stringify({ ...about, key }));
  return ImageSet.open(options.folder);
}

type Put = (pixels: Uint8Array) => Promise<void>;

class Collector {
  private readonly digest: ReturnType<typeof createHash>;
  private readonly labels: (string | undefined)[] = [];
  private readonly names: string[] = [];
  private readonly skipped: { name: string; problem: string }[] = [];
  private readonly looks = readLooks();
  private unlisted: ImageSetFile['unlisted'];
  private size = 0;
  private container: ImageSetFile['container'] = 'files';

  constructor(digest: ReturnType<typeof createHash>) {
    this.digest = digest;
  }

  async fromFiles(path: string, options: PrepareImages, put: Put): Promise<void> {
    const size = options.size;
    if (size === undefined)
      throw new InkstoneError('image_size', 'pictures need a size that they are brought to', {
        kind: 'usage',
        hint: 'give --size, or use a preset that has one',
      });
    this.size = size;
    let table: { name: string; labels: LabelTable } | undefined;
    for await (const { name, bytes, problem } of pictureFiles(path)) {
      if (problem !== undefined) {
        this.skipped.push({ name, problem });
        continue;
      }
      if (TABLE.test(name)) {
        table = { name, labels: readLabels(name, new TextDecoder().decode(bytes)) };
        continue;
      }
      const decoded = await decodePicture(bytes, {
        size,
        channels: options.channels,
        fit: options.fit ?? 'cover',
      });
      if ('problem' in decoded) {
        this.skipped.push({ name, problem: decoded.problem });
        continue;
      }
      await this.take(name, decoded.pixels, options.channels, put);
      options.progress?.(this.names.length);
    }
    // A table may stand after the pictures it tells of.
    for (const name of this.names) this.labels.push(labelOf(name, table?.labels));
    const unlisted = this.names.filter((_, place) => this.labels[place] === undefined);
    const [first] = unlisted;
    if (table !== undefined && first !== undefined)
      this.unlisted = { table: table.name, count: unlisted.length, first };
  }

  async fromIdx(
    { count, size, pixels, labels }: IdxPictures,
    options: PrepareImages,
    put: Put,
  ): Promise<void> {
    if (options.channels !== 1 || (options.size !== undefined && options.size !== size))
      throw new InkstoneError('image_size', `these IDX pictures are grey, ${size} pixels a side`, {
        kind: 'usage',
        hint: `train grey pictures of ${size} × ${size} on them (size ${size}, no colour)`,
      });
    this.size = size;
    this.container = 'idx';
    for (let i = 0; i < count; i++) {
      await this.take(String(i), pixels.subarray(i * size * size, (i + 1) * size * size), 1, put);
      this.labels.push(labels === undefined ? undefined : String(labels[i]));
      if (i % 1000 === 0) options.progress?.(i);
    }
  }

  private async take(name: string, pixels: Uint8Array, channels: number, put: Put): Promise<void> {
    this.looks.add(pixels, channels, this.size);
    this.names.push(name);
    await put(pixels);
  }

  /** Once all pixels are written. */
  async finish(path: string, options: PrepareImages): Promise<ImageSetFile> {
    if (this.names.length === 0)
      throw new InkstoneError('data_empty', `${path} has no pictures that can be read`, {
        kind: 'data',
        hint:
          this.skipped[0] === undefined
            ? 'PNG, JPEG, WebP, AVIF, GIF, SVG and TIFF files are read'
            : `the first that was passed over: ${this.skipped[0].name} (${this.skipped[0].problem})`,
      });
    // Some without a label: then labels mean nothing here.
    const labelled = this.labels.every((label) => label !== undefined);
    const classes = labelled ? [...new Set(this.labels as string[])].sort(byNumber) : [];
    const labels = labelled
      ? (this.labels as string[]).map((label) => classes.indexOf(label))
      : this.names.map(() => 0);
    this.digest.update(JSON.stringify([classes, labels]));
    const alike = await this.alike(options);
    return {
      count: this.names.length,
      size: this.size,
      channels: options.channels,
      container: this.container,
      classes: classes.length > 1 ? classes : [],
      fingerprint: this.digest.digest('hex'),
      skipped: this.skipped,
      ...(this.unlisted === undefined ? {} : { unlisted: this.unlisted }),
      alike: alike.pairs,
      alikeComplete: alike.complete,
      labels,
      names: this.names,
    };
  }

  private async alike({ folder, channels }: PrepareImages): Promise<Alike> {
    const stride = channels * this.size * this.size;
    const file = await openFile(pixelsFile(folder), 'read');
    try {
      return await this.looks.pairs(async (place) => {
        const pixels = new Uint8Array(stride);
        await file.read(pixels, place * stride);
        return pixels;
      });
    } finally {
      await file.close();
    }
  }
}

const byNumber = (a: string, b: string): number =>
  a.localeCompare(b, 'en', { numeric: true, sensitivity: 'variant' });

/** Of what stands beside the array: another number makes it anew. */
const FORM = 4;

/** What the array was made from: paths, sizes and times of the files, and the settings. */
async function keyOf(path: string, options: PrepareImages): Promise<string> {
  const about = await facts(path);
  if (about === undefined)
    throw new InkstoneError('data_missing', `there is nothing at ${path}`, {
      kind: 'missing',
      hint: 'check the path given to --data',
    });
  const seen: unknown[] = about.kind === 'folder' ? [] : [about.size, about.modified];
  if (about.kind === 'folder')
    for (const name of await listTree(path)) {
      // Of subfolders only what is read: a run may have its own folder in there.
      if (name.includes('/') && !wanted(name)) continue;
      const file = await facts(`${path}/${name}`);
      seen.push(name, file?.size, file?.modified);
    }
  const { size, channels, fit, split } = options;
  return createHash('sha256')
    .update(JSON.stringify([FORM, seen, size, channels, fit, split]))
    .digest('hex');
}

async function isPrepared(folder: string, key: string): Promise<boolean> {
  if (!(await exists(aboutFile(folder)))) return false;
  try {
    const about = JSON.parse(await readText(aboutFile(folder))) as ImageSetFile & { key?: string };
    const bytes = (await facts(pixelsFile(folder)))?.size;
    return about.key === key && bytes === about.count * about.channels * about.size * about.size;
  } catch {
    return false;
  }
}
