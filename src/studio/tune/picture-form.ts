/** What the form for going on from a model of pictures holds, when it is right, and the request it becomes. Knows no words. */
import type { PictureModel } from '../api/types.ts';

export interface PictureTuningForm {
  base: string;
  file: { id: string; name: string } | undefined;
  name: string;
  steps: string;
  batch: string;
  seed: string;
  /** Layers that do not learn. */
  frozen: readonly string[];
  /** Whether what the critic sees is varied, where it can be. */
  varied: boolean;
}

export type PictureTuningField = 'file' | 'name' | 'steps' | 'frozen' | 'batch' | 'seed';

/** Steps where nothing is said: the server's own. */
export const USUAL_STEPS = 500;

export const startingForm = ({ id, pictures }: PictureModel): PictureTuningForm => ({
  ...{ base: id, file: undefined, name: '', steps: '', batch: '', seed: '' },
  ...{ frozen: pictures.tuning.early, varied: true },
});

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

function isWrong(text: string, least: number, most: number): boolean {
  const value = Number(text);
  return text.trim() !== '' && !(Number.isSafeInteger(value) && value >= least && value <= most);
}

/** The fields that are wrong, in the order they stand on the page. */
export function wrongFields(form: PictureTuningForm, { pictures }: PictureModel): PictureTuningField[] {
  const wrong: PictureTuningField[] = [];
  if (form.file === undefined) wrong.push('file');
  if (!NAME.test(form.name)) wrong.push('name');
  if (isWrong(form.steps, 1, 10_000_000)) wrong.push('steps');
  if (isWrong(form.batch, 2, 1024)) wrong.push('batch');
  if (isWrong(form.seed, 0, 2_147_483_647)) wrong.push('seed');
  // Of a pair each must learn; who freezes all of one has nothing to wait for.
  const networks = [...new Set(pictures.tuning.layers.map(networkOf))];
  const still = networks.some((network) =>
    pictures.tuning.layers.every((layer) => networkOf(layer) !== network || form.frozen.includes(layer)),
  );
  if (still) wrong.push('frozen');
  return wrong;
}

/** A pair's layers begin with their network; all others are of one. */
const networkOf = (layer: string): string => /^(generator|critic)\./.exec(layer)?.[1] ?? '';

/** @param form one that `wrongFields` found nothing wrong with */
export function toRequest(form: PictureTuningForm, { pictures }: PictureModel): Record<string, unknown> {
  const given = (name: string, text: string): object => (text.trim() === '' ? {} : { [name]: Number(text) });
  return {
    ...{ name: form.name, file: form.file?.id ?? '', from: form.base },
    ...given('steps', form.steps),
    ...given('batch_size', form.batch),
    ...given('seed', form.seed),
    ...(form.frozen.length === 0 ? {} : { freeze: form.frozen }),
    ...(pictures.tuning.augments && !form.varied ? { augment: 'none' } : {}),
  };
}
