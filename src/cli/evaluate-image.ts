/** `inkstone evaluate` of an image model: all scores of docs/protocol-image.md, and a card. */
import path from 'node:path';
import { makeTemporaryFolder, removeFile } from '../base/host.ts';
import type { ImageSet } from '../data/image/array-file.ts';
import { findIdx } from '../data/image/idx.ts';
import { prepareImages } from '../data/image/prepare.ts';
import type { FeatureNetwork } from '../evaluate/image/features.ts';
import { HELD_OUT } from '../evaluate/image/floor.ts';
import { trainJudge } from '../evaluate/image/judge.ts';
import { type ImageScores, scoreImages } from '../evaluate/image/score-run.ts';
import { pictureMaker } from '../generate/image/any.ts';
import type { Denoising } from '../generate/image/diffusion.ts';
import { denoisingOf } from '../generate/image/given.ts';
import { classesOf } from '../models/image/any.ts';
import { loadImageModel } from '../models/image/load.ts';
import type { Backend } from '../runtime/contract.ts';
import { createBackend } from '../runtime/index.ts';
import type { CommandContext } from './command.ts';
import { type CardFacts, writeEvaluationCard } from './evaluation-card.ts';
import { freeFolder } from './free-folder.ts';
import { type DuplicateReport, duplicateLines, duplicatesOf, preparedLines } from './image-duplicates.ts';
import { featureNetwork } from './image-features.ts';
import { type NeighbourFiles, neighbourCount, neighbourLines, writeNeighbours } from './image-neighbours.ts';

export type ImageEvaluation = ImageScores &
  Partial<NeighbourFiles> &
  Partial<DuplicateReport> & {
    card: string;
    card_json: string;
  };

interface EvaluateImageSettings {
  data: string;
  features?: string | undefined;
  samples: number;
  neighbours?: number | undefined;
  denoise?: number | undefined;
  guidance?: number | undefined;
  out?: string | undefined;
  device: 'cpu' | 'webgpu';
  threads?: number | undefined;
}

export async function evaluateImages(
  { id, folder }: { id: string; folder: string },
  settings: EvaluateImageSettings,
  context: CommandContext,
): Promise<ImageEvaluation> {
  const model = await loadImageModel(folder);
  const { data, samples, guidance, denoise: steps } = settings;
  const denoising = await denoisingOf(model.config, samples, { guidance, steps });
  const note = (what: string): void => context.progress.show(what);
  const backend = await createBackend(
    settings.device,
    settings.threads === undefined ? {} : { threads: settings.threads },
  );
  const work = await makeTemporaryFolder('inkstone-evaluate');
  let set: ImageSet | undefined;
  let network: FeatureNetwork | undefined;
  try {
    const { size, channels } = model.config;
    set = await prepareImages(data, { folder: work, size, channels: channels as 1 | 3, fit: 'contain' });
    for (const line of preparedLines(set)) context.progress.note(line);
    network = await featureNetwork(settings.features, data, model.config, backend);
    const scores = await scoreFolder(
      { data, work, folder, set, network, backend },
      { samples, denoising, note },
    );
    for (const line of duplicateLines(scores)) context.progress.note(line);
    const out = settings.out ?? (await freeFolder(`evaluate-${id}`));
    const rows = neighbourCount(settings.neighbours, set);
    const neighbours =
      rows > 0 ? await writeNeighbours({ folder, out, set, network, backend }, { rows, note }) : {};
    const all = Object.assign(scores, neighbours);
    const facts = cardFacts(data, set, all, denoising);
    return Object.assign(all, await writeEvaluationCard({ ...model, name: id }, facts, out));
  } finally {
    await network?.close();
    await set?.close();
    await backend.close();
    await removeFile(work);
  }
}

export interface ScoredFolder {
  data: string;
  /** Where prepared pictures may be kept. */
  work: string;
  /** The model. */
  folder: string;
  /** The prepared pictures, the training part where there are two. */
  set: ImageSet;
  network: FeatureNetwork;
  backend: Backend;
}

/** Against the test pictures where the data have such, else against all. */
export async function scoreFolder(
  { data, work, folder, set, network, backend }: ScoredFolder,
  { samples, denoising, note }: { samples: number; denoising?: Denoising; note: (what: string) => void },
): Promise<ImageScores & Partial<DuplicateReport>> {
  const { config, weights } = await loadImageModel(folder);
  const maker = pictureMaker(config, backend, weights, denoising);
  const classes = classesOf(config);
  const test = await testPart(data, work, set);
  const labelled = classes > 0 && set.info.classes.length === classes;
  const judge = labelled
    ? await trainJudge(
        backend,
        {
          ...{ count: set.info.count, channels: config.channels, size: config.size, classes },
          labels: set.labels,
          read: (places) => set.read(places),
        },
        { progress: (step, steps) => note(`training the judge of classes: ${step}/${steps}`) },
      )
    : undefined;
  try {
    note('pictures that look alike');
    const duplicates = await duplicatesOf(set, test);
    const scores = await scoreImages({
      backend,
      network,
      maker,
      reference: test ?? set,
      beside: test === undefined ? undefined : set,
      classes,
      judge,
      samples,
      progress: note,
    });
    return Object.assign(scores, duplicates);
  } finally {
    await judge?.close();
    await test?.close();
    await maker.close();
  }
}

/** The test pictures of IDX files, where they have some. */
async function testPart(data: string, work: string, set: ImageSet): Promise<ImageSet | undefined> {
  const part = async (split: 'train' | 'test'): Promise<string | undefined> =>
    (await findIdx(data, split).catch(() => undefined))?.images;
  const images = await part('test');
  if (images === undefined || images === (await part('train'))) return undefined;
  return prepareImages(data, {
    folder: path.join(work, 'test'),
    size: set.info.size,
    channels: set.info.channels as 1 | 3,
    split: 'test',
  });
}

/** Every number that is a score, for people. */
export function imageScoreLines(scores: Partial<ImageScores> & Partial<NeighbourFiles>): string[] {
  const own = Object.entries(scores).filter(
    ([name, value]) =>
      typeof value === 'number' && (name.endsWith(`_${scores.features}`) || name.endsWith('_accuracy')),
  );
  return [
    `${scores.samples} samples, features of ${scores.features}`,
    ...own.map(([name, value]) => `${name.padEnd(24)} ${(value as number).toFixed(4)}`),
    ...floorLines(scores),
    ...neighbourLines(scores),
  ];
}

/** What the scores whose names have `floor` in them are of. */
export function floorLines({ floor, floor_samples, is_floor_samples }: Partial<ImageScores>): string[] {
  const of = [
    ...(floor === undefined ? [] : [`${floor}, ${floor_samples} in place of the samples`]),
    ...(is_floor_samples === undefined ? [] : [`the Inception score of ${is_floor_samples} real pictures`]),
  ];
  return of.length === 0 ? [] : [`floors: ${of.join('; ')}`];
}

/** What of the denoiser's work is not as usual. */
function denoisingLine({ steps, guidance }: Denoising): string[] {
  const said = [
    ...(steps === undefined ? [] : [`in ${steps} ${steps === 1 ? 'step' : 'steps'}`]),
    ...(guidance === undefined ? [] : [`with guidance ${guidance}`]),
  ];
  return said.length === 0 ? [] : [`A denoiser made them ${said.join(' ')}.`];
}

/** The card of docs/protocol-image.md's scores. */
function cardFacts(
  data: string,
  set: ImageSet,
  scores: ImageScores & Partial<NeighbourFiles> & Partial<DuplicateReport>,
  denoising: Denoising,
): CardFacts {
  const { features, samples } = scores;
  const isHeldOut = scores.floor === HELD_OUT;
  const countOf = (name: string): number => {
    if (name.startsWith('is_floor_')) return Number(scores.is_floor_samples);
    return /^(fid|kid|precision|recall)_floor_/.test(name) ? Number(scores.floor_samples) : samples;
  };
  const results = Object.entries(scores).flatMap(([name, value]) =>
    typeof value !== 'number' || name.endsWith('samples')
      ? []
      : [
          {
            name,
            value,
            unit: /^(precision|recall|.*_accuracy)/.test(name) ? 'share' : '',
            count: countOf(name),
          },
        ],
  );
  const near = (['features', 'pixels'] as const).flatMap((by) => {
    const found = scores[`nearest_${by}`] as NeighbourFiles['nearest_pixels'] | undefined;
    if (found === undefined) return [];
    const { made, real, copies } = found;
    return [
      { name: `nearest training picture by ${by}, median`, value: made, unit: '' },
      { name: `the same among training pictures`, value: real, unit: '' },
      { name: `nearer by ${by} than 95 % of them`, value: copies, unit: 'share' },
    ];
  });
  const { fingerprint, count, classes } = set.info;
  return {
    data: {
      ...{ path: path.resolve(data), fingerprint, pictures: count, classes },
      split: isHeldOut ? 'compared with the test pictures beside them' : 'compared with all of them',
    },
    protocol: [
      `docs/protocol-image.md: ${samples} pictures, classes in turn, seed 99, no truncation, the average generator, pixels rounded as they would be written.`,
      ...denoisingLine(denoising),
      `Features of the network "${features}".`,
      ...floorLines(scores).map((line) => `F${line.slice(1)}.`),
    ],
    results: [...results, ...near],
    limits: [
      'Scores on these features are not to be compared with scores on others, nor with scores of another number of pictures.',
      ...(isHeldOut ? [] : ['The model may have learned from the very pictures that it is compared with.']),
      ...duplicateLines(scores).map((line) => `${line[0]?.toUpperCase()}${line.slice(1)}.`),
    ],
  };
}
