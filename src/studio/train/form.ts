/** What the training form holds and when it is right. Knows no words: it names what is wrong. */
import type { PresetInfo, TrainingRequest } from '../api/types.ts';

export interface TrainingForm {
  file: { id: string; name: string } | undefined;
  preset: string;
  name: string;
  /** Of pictures: pixels a side, and whether in colour; else left as they are. */
  size: string;
  colour: boolean;
  steps: string;
  seed: string;
}

export type FormField = 'file' | 'preset' | 'name' | 'size' | 'steps' | 'seed';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The fields that are wrong, in the order they stand on the page. */
export function wrongFields(form: TrainingForm, presets: readonly PresetInfo[]): FormField[] {
  const wrong: FormField[] = [];
  if (form.file === undefined) wrong.push('file');
  if (!presets.some((preset) => preset.id === form.preset)) wrong.push('preset');
  if (!NAME.test(form.name)) wrong.push('name');
  if (form.size.trim() !== '' && !isSide(form.size)) wrong.push('size');
  if (form.steps.trim() !== '' && !isWhole(form.steps, 1)) wrong.push('steps');
  if (form.seed.trim() !== '' && !isWhole(form.seed, 0)) wrong.push('seed');
  return wrong;
}

/** @param form one that `wrongFields` found nothing wrong with */
export function toRequest(form: TrainingForm): TrainingRequest {
  return {
    name: form.name,
    file: form.file?.id ?? '',
    preset: form.preset,
    ...(form.size.trim() === '' ? {} : { size: Number(form.size) }),
    ...(form.colour ? { colour: true } : {}),
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

function isWhole(text: string, least: number): boolean {
  const value = Number(text);
  return Number.isSafeInteger(value) && value >= least;
}
