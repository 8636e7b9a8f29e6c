/** What a training is asked to be, and the command that does it: `inkstone train text|image|chat … --json`. Runs nothing. */
import type { ImageChoices } from '../train/image-choices.ts';

export interface TrainingOrder {
  /** Becomes the model's name and the run folder's. */
  name: string;
  /** What is trained; left out: text. */
  family?: 'image' | undefined;
  /** Path of the text, or of the pictures. */
  file: string;
  preset: string;
  steps?: number | undefined;
  seed?: number | undefined;
  /** Goes on from this model; the preset then only says how to train. */
  base?: BaseModel | undefined;
  /** Of pictures: what is otherwise than the preset or the base has it. */
  choices?: ImageChoices | undefined;
  /** Tunes a model on conversations instead of training one from a preset. */
  tune?: TuningOrder | undefined;
  /** W3C `traceparent` of the request that asked for it. */
  trace?: string | undefined;
}

export interface BaseModel {
  model: string;
  folder: string;
  learningRate?: number | undefined;
  batch?: number | undefined;
  /** Steps between evaluations, samples and checkpoints. */
  every?: number | undefined;
  /** Of a model of pictures: layers that do not learn, and what the critic's pictures go through. */
  freeze?: readonly string[] | undefined;
  augment?: string | undefined;
}

export interface TuningOrder {
  /** The model to tune: its name, and its folder. */
  from: string;
  folder: string;
  /** The name under which the result answers. */
  model: string;
  trainingFile: string;
  validationFile?: string | undefined;
  /** Path of what it is judged by. */
  validation?: string | undefined;
  epochs?: number | undefined;
  batch?: number | undefined;
  learningRate?: number | undefined;
  /** Rank of low-rank adapters; without it all weights learn. */
  lora?: number | undefined;
  suffix?: string | undefined;
  metadata?: Record<string, string> | undefined;
}

/** The words of the command. */
export function trainingArguments(order: TrainingOrder, folder: string, resume: boolean): string[] {
  const args = order.tune === undefined ? trainArguments(order, resume) : tuneArguments(order.tune);
  args.push('--data', order.file, '--out', folder, '--json');
  if (order.steps !== undefined) args.push('--steps', String(order.steps));
  if (order.seed !== undefined) args.push('--seed', String(order.seed));
  if (resume) args.push('--resume');
  return args;
}

/** Flags with their values, those left out that have none. */
const flags = (values: Record<string, string | number | undefined>): string[] =>
  Object.entries(values).flatMap(([flag, value]) => (value === undefined ? [] : [flag, String(value)]));

/** Pictures that a job's final scores are of: a fifth of what the command takes, in a fifth of its time; fewer beside a few. */
const SCORED = 2000;
const TUNED_SCORED = 500;

function imageArguments({ preset, base, choices = {} }: TrainingOrder, resume: boolean): string[] {
  const command = ['train', 'image', '--samples', String(base === undefined ? SCORED : TUNED_SCORED)];
  // Its own folder says all of it, even when the base is gone.
  if (resume) return command;
  const { folder, learningRate, batch, freeze = [], augment } = base ?? {};
  return [
    ...command,
    ...(base === undefined ? ['--preset', preset] : []),
    ...flags({ '--from': folder, '--learning-rate': learningRate, '--batch': batch, '--augment': augment }),
    ...freeze.flatMap((layer) => ['--freeze', layer]),
    ...choiceFlags(choices),
  ];
}

const choiceFlags = (choices: ImageChoices): string[] =>
  Object.entries(choices).flatMap(([name, value]) => {
    if (typeof value === 'boolean') return [value ? `--${name}` : `--no-${name}`];
    // In one word: a value may begin like a flag.
    return [value ?? []].flat().map((item) => `--${name}=${item}`);
  });

function trainArguments(order: TrainingOrder, resume: boolean): string[] {
  const { preset, base, family } = order;
  if (family === 'image') return imageArguments(order, resume);
  const { folder, learningRate, batch, every } = base ?? {};
  return [
    ...['train', 'text', '--preset', preset],
    ...flags({
      '--from': folder,
      '--learning-rate': learningRate,
      '--batch': batch,
      '--evaluate-every': every,
      '--sample-every': every,
      '--checkpoint-every': every,
    }),
  ];
}

function tuneArguments({ folder, validation, epochs, batch, learningRate, lora }: TuningOrder): string[] {
  return [
    ...['train', 'chat', '--from', folder],
    ...flags({
      '--validation': validation,
      '--epochs': epochs,
      '--batch': batch,
      '--learning-rate': learningRate,
      '--lora': lora,
    }),
  ];
}
