/** Questions from JSON lines: each line an object whose fields are a prompt's values, with an answer and maybe choices. */
import { createHash } from 'node:crypto';
import { InkstoneError } from '../base/errors.ts';
import type { TaskItem } from './tasks.ts';

export interface TaskFields {
  /** The field with the right answer: a text, a number, or a list of several. */
  answer: string;
  /** The field with a list of choices. */
  choices: string;
}

export interface TaskSet {
  items: TaskItem[];
  /** SHA-256 of the text. */
  fingerprint: string;
}

function invalid(place: string, why: string, hint: string): InkstoneError {
  return new InkstoneError('task_invalid', `${place} ${why}`, { kind: 'data', hint, details: { place } });
}

/** Objects of JSON lines, with their places; empty lines are passed over. @throws InkstoneError `task_invalid`, `data_empty` */
export function readObjects(text: string, name: string): { place: string; row: Record<string, unknown> }[] {
  const found = text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    const place = `${name}:${i + 1}`;
    let row: unknown;
    try {
      row = JSON.parse(line);
    } catch {
      throw invalid(place, 'is not JSON', 'each line must be one JSON object');
    }
    if (typeof row !== 'object' || row === null || Array.isArray(row))
      throw invalid(place, 'is no object', 'each line must be one JSON object');
    return [{ place, row: row as Record<string, unknown> }];
  });
  if (found.length > 0) return found;
  throw new InkstoneError('data_empty', `${name} has no lines`, {
    kind: 'data',
    hint: 'give one JSON object a line',
  });
}

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string'
    ? value
    : typeof value === 'number' || typeof value === 'boolean'
      ? String(value)
      : undefined;

function listOf(value: unknown, place: string, field: string): string[] | undefined {
  if (value === undefined || value === null) return undefined;
  const all = Array.isArray(value) ? value.map(textOf) : [textOf(value)];
  if (all.length > 0 && all.every((one) => one !== undefined && one !== '')) return all as string[];
  throw invalid(place, `has no text in "${field}"`, 'give a text, a number or a list of them');
}

/** @throws InkstoneError `task_invalid` naming the line, `data_empty` */
export function readTasks(text: string, name: string, fields: TaskFields): TaskSet {
  const items = readObjects(text, name).map(({ place, row }, number): TaskItem => {
    const choices = listOf(row[fields.choices], place, fields.choices);
    const answers = listOf(row[fields.answer], place, fields.answer);
    if (answers === undefined)
      throw invalid(place, `has no "${fields.answer}"`, 'name the field with the right answer: --answer');
    // A whole number that is no choice itself is the place of one.
    const at = row[fields.answer];
    const pointed =
      choices !== undefined && typeof at === 'number' && !choices.includes(String(at))
        ? choices[at]
        : undefined;
    return {
      number,
      values: row,
      answers: pointed === undefined ? answers : [pointed],
      ...(choices === undefined ? {} : { choices }),
    };
  });
  return { items, fingerprint: createHash('sha256').update(text).digest('hex') };
}
