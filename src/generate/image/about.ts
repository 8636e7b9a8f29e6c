/**
 * What a picture was made with: all that it takes to make it again, defaults spelled out, and nothing that had no part in
 * it. The command line and the server tell the same. Knows no format that it is written in.
 */
import { classesOf, type ImageConfig, isDenoiser } from '../../models/image/any.ts';
import { denoisingUsed, type MakeByDenoising } from './diffusion.ts';
import type { Parameters } from './encode.ts';
import { UPSCALE_KERNEL } from './upscale.ts';
import { seedsOnWay } from './way.ts';

/** Who makes the pictures. */
export interface Maker {
  model: string;
  config: ImageConfig;
  /** Names of its classes. */
  classes: readonly string[];
  /** Of the code. */
  version: string;
  /** How many times larger its pictures are made afterwards. */
  upscale?: number | undefined;
}

/** Of one picture of a request. */
export function aboutPicture(
  maker: Maker,
  request: MakeByDenoising,
  at: number,
): Parameters & { seed: number; class?: string } {
  const { labels, mixWith } = request;
  return {
    ...shared(maker, request),
    ...(mixWith === undefined ? {} : { mix: { seed: mixWith.seeds[at], layer: mixWith.crossover } }),
    seed: request.seeds[at] as number,
    ...(labels === undefined || classesOf(maker.config) === 0 ? {} : named(maker, labels[at] as number)),
  };
}

/** Of a way that was planned from a request, and of each of its frames. */
export function aboutWay(maker: Maker, request: MakeByDenoising, frames: number): Parameters {
  const { seeds, labels, mixWith } = request;
  const ends = seedsOnWay(seeds);
  return {
    ...shared(maker, request),
    ...(mixWith === undefined ? {} : { mix: { seeds: mixWith.seeds, layer: mixWith.crossover } }),
    ...{ seeds: ends, frames },
    ...(labels === undefined || classesOf(maker.config) === 0
      ? {}
      : { classes: ends.map((_, i) => named(maker, labels[i % labels.length] as number).class) }),
  };
}

function named({ classes }: Maker, label: number): { class: string; label: number } {
  return { class: classes[label] ?? String(label), label };
}

function shared({ model, config, version, upscale }: Maker, request: MakeByDenoising): Parameters {
  const { truncation = 1, from, keep } = request;
  return {
    ...{ model, architecture: config.architecture, version },
    ...(isDenoiser(config)
      ? denoisingUsed(config as { steps: number; classes: number }, request)
      : { truncation }),
    ...(from === undefined ? {} : { from: 'a given picture', masked: keep !== undefined }),
    ...(upscale === undefined ? {} : { upscale: { factor: upscale, kernel: UPSCALE_KERNEL } }),
  };
}
