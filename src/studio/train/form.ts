/** What the training form holds and when it is right. Knows no words: it names what is wrong. */
import type { PresetInfo, TrainingRequest } from '../api/types.ts';

export interface TrainingForm {
  file: { id: string; name: string } | undefined;
  preset: string;
  name: string;
  /** Of pictures: pixels a side, and whether in colour; else left as they are. */
  size: string;
  colour: boolean;
  /** The game of two networks; nothing for the preset's own. */
  loss: string;
  flip: boolean;
  /** In hundredths. */
  crop: string;
  jitter: string;
  steps: string;
  seed: string;
}

export type FormField = 'file' | 'preset' | 'name' | 'size' | 'crop' | 'jitter' | 'steps' | 'seed';

export function emptyForm(presets: readonly PresetInfo[]): TrainingForm {
  return {
    ...{ file: undefined, preset: presets[0]?.id ?? '', name: '', steps: '', seed: '' },
    ...{ size: '', colour: false, loss: '', flip: false, crop: '', jitter: '' },
  };
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The fields that are wrong, in the order they stand on the page. */
export function wrongFields(form: TrainingForm, presets: readonly PresetInfo[]): FormField[] {
  const wrong: FormField[] = [];
  if (form.file === undefined) wrong.push('file');
  if (!presets.some((preset) => preset.id === form.preset)) wrong.push('preset');
  if (!NAME.test(form.name)) wrong.push('name');
  if (form.size.trim() !== '' && !isSide(form.size)) wrong.push('size');
  if (form.crop.trim() !== '' && !isShare(form.crop, 50)) wrong.push('crop');
  if (form.jitter.trim() !== '' && !isShare(form.jitter, 100)) wrong.push('jitter');
  if (form.steps.trim() !== '' && !isWhole(form.steps, 1)) wrong.push('steps');
  if (form.seed.trim() !== '' && !isWhole(form.seed, 0)) wrong.push('seed');
  return wrong;
}

/** @param form one that `wrongFields` found nothing wrong with */
export function toRequest(form: TrainingForm, presets: readonly PresetInfo[]): TrainingRequest {
  // A game that was chosen for another kind, which may have none.
  const losses = presets.find(({ id }) => id === form.preset)?.losses ?? [];
  return {
    name: form.name,
    file: form.file?.id ?? '',
    preset: form.preset,
    ...(form.size.trim() === '' ? {} : { size: Number(form.size) }),
    ...(form.colour ? { colour: true } : {}),
    ...(losses.slice(1).includes(form.loss) ? { loss: form.loss } : {}),
    ...(form.flip ? { flip: true } : {}),
    ...(Number(form.crop) > 0 ? { crop: Number(form.crop) / 100 } : {}),
    ...(Number(form.jitter) > 0 ? { jitter: Number(form.jitter) / 100 } : {}),
    ...(form.steps.trim() === '' ? {} : { steps: Number(form.steps) }),
    ...(form.seed.trim() === '' ? {} : { seed: Number(form.seed) }),
  };
}

/** A model name out of a file's: `My novel (2).txt` → `my-novel-2`. */
export function suggestedName(file: string, taken: readonly string[]): string {
  const stem = file.replace(/(\.(txt|md|jsonl|json|gz|tar|tgz|csv|zip))+$/i, '');
  const plain = stem
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .toLowerCase()
    .replace(/[^a-z0-9._]+/g, '-')
    .replace(/^[^a-z0-9]+|[-._]+$/g, '')
    .slice(0, 48);
  const base = plain === '' ? 'my-model' : plain;
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? base : `${base}-${number}`;
    if (!taken.includes(name)) return name;
  }
}

/** What doubles from 3 to 7 pixels a side. */
function isSide(text: string): boolean {
  let side = Number(text);
  if (!isWhole(text, 16) || side > 128) return false;
  while (side % 2 === 0) side /= 2;
  return side <= 7;
}

function isShare(text: string, most: number): boolean {
  const value = Number(text);
  return Number.isFinite(value) && value >= 0 && value <= most;
}

function isWhole(text: string, least: number): boolean {
  const value = Number(text);
  return Number.isSafeInteger(value) && value >= least;
}
