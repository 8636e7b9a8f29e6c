/** What the form for tuning holds, when it is right, and the request it becomes. Knows no words. */
import type { FileCheck } from '../api/types.ts';

export interface TuningForm {
  base: string;
  file: { id: string; name: string } | undefined;
  /** The suffix of the tuned model's name, or the whole name where plain text is learned. */
  name: string;
  epochs: string;
  steps: string;
  how: 'whole' | 'adapters';
  batch: string;
  rate: string;
  seed: string;
}

export type TuningField = 'file' | 'name' | 'epochs' | 'steps' | 'batch' | 'rate' | 'seed';

export const EMPTY: TuningForm = {
  ...{ base: '', file: undefined, name: '', epochs: '3', steps: '100' },
  ...{ how: 'whole', batch: '', rate: '', seed: '' },
};

/** Rank of the adapters. */
const RANK = 8;
/** What the multiplier multiplies where plain text is learned; the server's own for conversations. */
const BASE_RATE = 3e-4;

export const isConversations = (name: string): boolean => /\.(jsonl|ndjson)$/i.test(name);

const SUFFIX = /^[A-Za-z0-9_-]{1,64}$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

function within(text: string, least: number, most: number, whole: boolean): boolean {
  const value = Number(text);
  return text.trim() !== '' && value >= least && value <= most && (!whole || Number.isSafeInteger(value));
}

/** The fields that are wrong, in the order they stand on the page. A file that cannot be used is a wrong one. */
export function wrongFields(form: TuningForm, check: FileCheck | undefined): TuningField[] {
  const talks = isConversations(form.file?.name ?? '');
  const wrong: TuningField[] = [];
  if (form.file === undefined || (check !== undefined && !usable(check))) wrong.push('file');
  if (!(talks ? SUFFIX : NAME).test(form.name)) wrong.push('name');
  if (talks && !within(form.epochs, 1, 1000, false)) wrong.push('epochs');
  if (!talks && !within(form.steps, 1, 10_000_000, true)) wrong.push('steps');
  if (form.batch.trim() !== '' && !within(form.batch, 1, 1024, true)) wrong.push('batch');
  if (form.rate.trim() !== '' && !within(form.rate, 1e-6, 1000, false)) wrong.push('rate');
  if (form.seed.trim() !== '' && !within(form.seed, 0, 2_147_483_647, true)) wrong.push('seed');
  return wrong;
}

export function usable(check: FileCheck): boolean {
  if (check.error_count > 0) return false;
  return check.kind === 'conversations'
    ? check.conversations > 0 && check.template_missing.length === 0
    : check.unknown_characters.length === 0;
}

export interface TuningRequest {
  path: string;
  body: Record<string, unknown>;
}

const given = (name: string, text: string, times = 1): Record<string, number> =>
  text.trim() === '' ? {} : { [name]: Number(text) * times };

/** @param form one that `wrongFields` found nothing wrong with */
export function toRequest(form: TuningForm): TuningRequest {
  const { base, file, name, epochs, steps, how, batch, rate, seed } = form;
  if (isConversations(file?.name ?? ''))
    return {
      path: '/v1/fine_tuning/jobs',
      body: {
        ...{ model: base, training_file: file?.id ?? '', suffix: name },
        ...given('seed', seed),
        method: {
          type: 'supervised',
          supervised: {
            hyperparameters: {
              n_epochs: Number(epochs),
              ...given('batch_size', batch),
              ...given('learning_rate_multiplier', rate),
              ...(how === 'adapters' ? { lora_rank: RANK } : {}),
            },
          },
        },
      },
    };
  return {
    path: '/api/trainings',
    body: {
      ...{ name, file: file?.id ?? '', from: base, steps: Number(steps) },
      ...given('seed', seed),
      ...given('batch_size', batch),
      ...given('learning_rate', rate, BASE_RATE),
    },
  };
}

/** The name a model tuned on conversations answers by, but for the mark that the server adds. */
export function tunedName(base: string, suffix: string): string {
  const plain = base.replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, 30);
  return `ft:${plain}:inkstone:${suffix}:…`;
}

/** The element of a field that takes the focus; the file's is the picker that trainings have, too. */
export const idOf = (field: string): string => (field === 'file' ? 'train-file' : `tune-${field}`);
