/**
 * What a hyper-parameter search may choose from, as data: a file of names with the values that each may take. Draws
 * settings from it and refuses what no training could use. Trains nothing.
 */
import { InkstoneError } from '../../base/errors.ts';
import { Random } from '../../base/rng.ts';
import { z } from '../../base/schema.ts';
import { type TextConfig, textConfig } from '../../models/text/architectures.ts';
import type { TextPreset } from '../../models/text/presets.ts';
import { type TrainingConfig, trainingConfig } from '../../nn/training-config.ts';

const ordered = { message: 'low must be less than high', path: ['low'] };
const dimension = z.discriminatedUnion('type', [
  z
    .strictObject({ type: z.literal('log-uniform'), low: z.number().gt(0), high: z.number().gt(0) })
    .refine(({ low, high }) => low < high, ordered),
  z
    .strictObject({ type: z.literal('uniform'), low: z.number(), high: z.number() })
    .refine(({ low, high }) => low < high, ordered),
  z
    .strictObject({
      type: z.literal('integer'),
      low: z.number().int(),
      high: z.number().int(),
      /** Draws the logarithm evenly. */
      log: z.boolean().default(false),
    })
    .refine(({ low, high }) => low <= high, ordered)
    .refine(({ low, log }) => !log || low > 0, { message: 'low must be more than 0', path: ['low'] }),
  z.strictObject({
    type: z.literal('choice'),
    values: z.array(z.union([z.number(), z.string(), z.boolean()])).min(1),
  }),
]);
export type Dimension = z.output<typeof dimension>;

const PARTS = { schedule: ['name', 'warmup', 'decay', 'floor'] } as const;
const OPTIMISER = ['name', 'weightDecay', 'beta1', 'beta2', 'epsilon', 'momentum', 'nesterov', 'adamRate'];
const TRAINING = ['learningRate', 'batch', 'accumulation', 'dropout', 'clip', 'ema'] as const;
const MODEL = ['layers', 'heads', 'width'] as const;

/** What a space may name: `optimiser.weightDecay` is the weight decay of the optimiser. */
export const SEARCHABLE: readonly string[] = [
  ...TRAINING,
  ...PARTS.schedule.map((name) => `schedule.${name}`),
  ...OPTIMISER.map((name) => `optimiser.${name}`),
  ...MODEL,
  'context',
];

export const searchSpace = z.record(z.string(), dimension).superRefine((space, context) => {
  if (Object.keys(space).length === 0)
    context.addIssue({ code: 'custom', message: 'a space needs at least one setting to choose' });
  for (const name of Object.keys(space))
    if (!SEARCHABLE.includes(name))
      context.addIssue({
        code: 'custom',
        message: `${name} cannot be searched; what can: ${SEARCHABLE.join(', ')}`,
        path: [name],
      });
});
export type SearchSpace = z.output<typeof searchSpace>;

export type TrialValues = Record<string, number | string | boolean>;

export interface TrialSettings {
  training: Partial<TrainingConfig>;
  model: Partial<TextConfig>;
}

/** @throws InkstoneError `space_invalid`, naming the setting */
export function readSpace(value: unknown): SearchSpace {
  const read = searchSpace.safeParse(value);
  if (!read.success) {
    const [issue] = read.error.issues as [z.core.$ZodIssue];
    const at = issue.path.map(String).join('.');
    throw impossible(`${at === '' ? 'the space' : at}: ${issue.message}`);
  }
  for (const [name, one] of Object.entries(read.data)) {
    for (const end of one.type === 'choice' ? one.values : [one.low, one.high]) {
      const wrong = wrongAlone(name, end);
      if (wrong !== undefined) throw impossible(`${name} cannot be ${String(end)}: ${wrong}`);
    }
  }
  return read.data;
}

function impossible(message: string): InkstoneError {
  return new InkstoneError('space_invalid', message, {
    kind: 'usage',
    hint: 'a space looks like {"learningRate": {"type": "log-uniform", "low": 1e-4, "high": 1e-2}, "batch": {"type": "choice", "values": [8, 16]}}',
  });
}

/** Why no training takes this value, whatever the others are. */
function wrongAlone(name: string, value: number | string | boolean): string | undefined {
  const [part, field] = name.split('.') as [string, string | undefined];
  if (part === 'optimiser') return undefined;
  const shape =
    part === 'schedule'
      ? trainingConfig.shape.schedule.shape[field as 'name']
      : (MODEL as readonly string[]).includes(name)
        ? z.number().int().min(1)
        : trainingConfig.shape[name as 'batch'];
  const read = shape.safeParse(value);
  return read.success ? undefined : read.error.issues[0]?.message;
}

/** A trial's values as a preset's settings. */
export function settingsOf(preset: TextPreset, values: TrialValues): TrialSettings {
  const training: Record<string, unknown> = {};
  const model: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(values)) {
    const [part, field] = name.split('.') as [string, string | undefined];
    if (field !== undefined) {
      const before = (training[part] ?? preset.training[part as 'schedule']) as Record<string, unknown>;
      // Another optimiser brings its own settings.
      training[part] =
        name === 'optimiser.name' && before.name !== value ? { name: value } : { ...before, [field]: value };
    } else if (name === 'context') {
      training.context = value;
      model.context = value;
    } else if ((MODEL as readonly string[]).includes(name)) model[name] = value;
    else training[name] = value;
  }
  return { training, model } as TrialSettings;
}

/** Why these settings make no training; undefined where they do. */
function wrongTogether(preset: TextPreset, values: TrialValues): string | undefined {
  const { training, model } = settingsOf(preset, values);
  const learnt = trainingConfig.safeParse({ ...preset.training, ...training });
  // Which vocabulary it is does not matter to what a network can be.
  const made = textConfig.safeParse({
    ...{ architecture: preset.architecture, ...preset.model, ...model, vocabulary: 256 },
  });
  const issue = learnt.error?.issues[0] ?? made.error?.issues[0];
  return issue === undefined ? undefined : `${issue.path.join('.')} ${issue.message}`.trim();
}

/** How many settings a space has; infinite where one is drawn from a range. */
function sizeOf(space: SearchSpace): number {
  return Object.values(space).reduce((size, one) => {
    if (one.type === 'choice') return size * new Set(one.values).size;
    return one.type === 'integer' ? size * (one.high - one.low + 1) : Number.POSITIVE_INFINITY;
  }, 1);
}

function draw(one: Dimension, random: Random): number | string | boolean {
  const part = random.uniform();
  switch (one.type) {
    case 'choice':
      return one.values[Math.floor(part * one.values.length)] as number | string | boolean;
    case 'integer': {
      const at = one.log
        ? Math.floor(Math.exp(Math.log(one.low) + part * Math.log((one.high + 1) / one.low)))
        : one.low + Math.floor(part * (one.high - one.low + 1));
      return Math.min(one.high, Math.max(one.low, at));
    }
    default: {
      const at =
        one.type === 'uniform'
          ? one.low + part * (one.high - one.low)
          : Math.exp(Math.log(one.low) + part * Math.log(one.high / one.low));
      // Six digits: what is printed is what was used.
      return Math.min(one.high, Math.max(one.low, Number(at.toPrecision(6))));
    }
  }
}

/** Draws without a new setting after which a space counts as used up. */
const ATTEMPTS = 2000;

/**
 * That many different settings, the same for the same seed; the first k of more are those of k.
 * @throws InkstoneError `space_too_small`, `space_impossible`
 */
export function drawTrials(
  space: SearchSpace,
  preset: TextPreset,
  count: number,
  seed: number,
): TrialValues[] {
  const size = sizeOf(space);
  if (size < count)
    throw new InkstoneError('space_too_small', `the space has ${size} settings, ${count} trials were asked`, {
      kind: 'usage',
      hint: `ask for at most ${size} trials, or give more to choose from`,
    });
  const random = new Random(seed, 'search');
  const trials: TrialValues[] = [];
  const seen = new Set<string>();
  let why: string | undefined;
  for (let idle = 0; trials.length < count; ) {
    // In order of name, so that the order of a file does not matter.
    const names = Object.keys(space).sort();
    const values = Object.fromEntries(names.map((name) => [name, draw(space[name] as Dimension, random)]));
    const key = JSON.stringify(values);
    const wrong = seen.has(key) ? undefined : wrongTogether(preset, values);
    why ??= wrong;
    if (wrong === undefined && !seen.has(key)) {
      trials.push(values);
      idle = 0;
    } else if (++idle >= ATTEMPTS)
      throw new InkstoneError(
        'space_impossible',
        `the space has only ${trials.length} settings that can be trained, ${count} trials were asked${why === undefined ? '' : `: ${why}`}`,
        { kind: 'usage', hint: 'change the ranges, or ask for fewer trials' },
      );
    seen.add(key);
  }
  return trials;
}
