/** What a person asks of a model of pictures: defaults, limits, and the request that comes of it. Knows no words. */
import type { PictureModel } from '../api/types.ts';

export const FORMATS = ['png', 'webp', 'jpeg', 'avif'] as const;
export type Format = (typeof FORMATS)[number];

export interface PictureSettings {
  count: number;
  seed: number;
  /** Place of the class; −1 takes all in turn. */
  label: number;
  truncation: number;
  /** How many times the model's own size the files are. */
  scale: number;
  /** Enlarged by a convolution instead of by whole pixels, where the scale allows it. */
  smooth: boolean;
  guidance: number;
  steps: number;
  /** Fresh noise in each denoising step. */
  eta: number;
  strength: number;
  format: Format;
}

export type NumericSetting = Exclude<keyof PictureSettings, 'format' | 'smooth'>;

export const DEFAULTS: PictureSettings = {
  count: 16,
  seed: 1,
  label: -1,
  truncation: 1,
  scale: 1,
  smooth: false,
  guidance: 1,
  steps: 50,
  eta: 0,
  strength: 0.6,
  format: 'png',
};

export const MOST_SEED = 2 ** 31 - 1;
/** Pixels a side of a file. */
const MOST_SIDE = 2048;
/** How many times a convolution enlarges. */
const MOST_SMOOTH = 4;

export const canBeSmooth = ({ scale }: Pick<PictureSettings, 'scale'>): boolean =>
  scale > 1 && scale <= MOST_SMOOTH;

export interface Limits {
  least: number;
  most: number;
  step: number;
}

/** What the settings may be for a model; a setting that it does not know has room for its default alone. */
export function limitsOf({
  pictures: { classes, size, steps, edits },
}: PictureModel): Record<NumericSetting, Limits> {
  return {
    count: { least: 1, most: 64, step: 1 },
    // The server counts on from the first.
    seed: { least: 0, most: MOST_SEED - 64, step: 1 },
    label: { least: -1, most: classes.length - 1, step: 1 },
    truncation: edits ? { least: 1, most: 1, step: 1 } : { least: 0, most: 2, step: 0.05 },
    scale: { least: 1, most: Math.max(1, Math.min(16, Math.floor(MOST_SIDE / size))), step: 1 },
    guidance:
      edits && classes.length > 0 ? { least: 0, most: 10, step: 0.5 } : { least: 1, most: 1, step: 1 },
    steps: { least: 1, most: Math.max(1, Math.min(steps, 250)), step: 1 },
    eta: edits ? { least: 0, most: 1, step: 0.05 } : { least: 0, most: 0, step: 1 },
    strength: { least: 0.05, most: 1, step: 0.05 },
  };
}

/** A number brought into its limits; undefined when it is no number. */
export function bounded({ least, most, step }: Limits, typed: string): number | undefined {
  const value = typed.trim() === '' ? Number.NaN : Number(typed);
  if (!Number.isFinite(value)) return undefined;
  const whole = Number.isInteger(step) ? Math.round(value) : value;
  return Math.min(most, Math.max(least, whole));
}

/** Settings as they are for a model: what it does not know, or knows less of, is brought into its limits. */
export function fitted(model: PictureModel, settings: PictureSettings): PictureSettings {
  const limits = limitsOf(model);
  const all = { ...settings };
  for (const name of Object.keys(limits) as NumericSetting[])
    all[name] = bounded(limits[name], String(settings[name])) ?? DEFAULTS[name];
  return all;
}

/** Settings read back from the browser; whatever is off falls back to its default. */
export function restored(kept: Partial<Record<keyof PictureSettings, unknown>>): PictureSettings {
  const all = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS) as (keyof PictureSettings)[]) {
    const value = kept[name];
    if (name === 'smooth') all.smooth = value === true;
    else if (name === 'format') all.format = FORMATS.find((format) => format === value) ?? DEFAULTS.format;
    else if (typeof value === 'number' && Number.isFinite(value)) all[name] = value;
  }
  return all;
}

/** What every route takes; ways cannot be enlarged smoothly. */
export function sharedBody(model: PictureModel, settings: PictureSettings): Record<string, unknown> {
  const { pictures } = model;
  const { label, truncation, scale, smooth, guidance, steps, eta } = settings;
  const side = pictures.size * scale;
  const size = smooth && canBeSmooth(settings) ? { upscale: scale } : { size: `${side}x${side}` };
  return {
    model: model.id,
    prompt: '',
    ...(label >= 0 ? { label: pictures.classes[label] } : {}),
    ...(scale === 1 ? {} : size),
    ...(pictures.edits
      ? { steps, ...(eta === 0 ? {} : { eta }), ...(pictures.classes.length > 0 ? { guidance } : {}) }
      : truncation === 1
        ? {}
        : { truncation }),
  };
}

export function generationBody(model: PictureModel, settings: PictureSettings): Record<string, unknown> {
  const { count, seed, format } = settings;
  return { ...sharedBody(model, settings), n: count, seed, output_format: format };
}

/** Two to sixteen whole numbers with commas or spaces between them; undefined for anything else. */
export function seedsOf(text: string): number[] | undefined {
  const words = text.split(/[\s,，、;；]+/).filter((word) => word !== '');
  const seeds = words.map(Number);
  const good = seeds.every((seed) => Number.isInteger(seed) && seed >= 0 && seed <= MOST_SEED);
  return good && seeds.length >= 2 && seeds.length <= 16 ? seeds : undefined;
}

/** Of a picture's file: who made it from what. */
export const fileName = (model: string, what: string, ending: string): string =>
  `${model.replace(/[^\p{L}\p{N}._-]+/gu, '-')}-${what}.${ending}`;
