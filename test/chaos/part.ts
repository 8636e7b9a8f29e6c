/** What the parts of `npm run chaos` are told (by tools/chaos.mjs, in variables), and how each tells its outcome. */
import { appendFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import type { StoreName } from './yard.ts';

const number = (name: string): number | undefined => {
  const given = process.env[name];
  return given === undefined || given === '' ? undefined : Number(given);
};

/** Rounds, cuts or pairs, whatever the part does again and again. */
export const roundsOr = (usual: number): number => number('CHAOS_ROUNDS') ?? usual;
export const minutes = number('CHAOS_MINUTES') ?? 20;
export const seed = number('CHAOS_SEED') ?? 1;
export const stores = (process.env.CHAOS_STORES ?? 'folder,pglite,postgresql').split(',') as StoreName[];
const report = path.resolve(process.env.CHAOS_REPORT ?? 'chaos-report.jsonl');

/** A line of the report. */
export function note(facts: object): void {
  mkdirSync(path.dirname(report), { recursive: true });
  appendFileSync(report, `${JSON.stringify(facts)}\n`);
}

/** The last line of a part: into the report and to standard output. */
export function summary(part: string, facts: object): void {
  const line = { part, ...facts };
  note({ summary: line });
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

export const rounded = (value: number, digits = 1): number => Math.round(value * 10 ** digits) / 10 ** digits;

/** Of unsorted numbers, by nearest rank; 0 of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? 0;
}
