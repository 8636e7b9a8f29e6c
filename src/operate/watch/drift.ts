/**
 * Whether a model's traffic is what it was: lengths of prompts and of answers, and what ended them, against the model's first
 * requests, by the population stability index. Sees numbers, never text.
 */
import type { Metrics } from './metrics.ts';

/** Upper bounds of lengths in tokens, doubling. */
const BOUNDS = [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384];
/** Requests that make the standard, and the newest that are held against it. */
const STANDARD = 500;
const NEWEST = 500;
/** Fewer say nothing. */
const FEWEST = 200;

export interface Observation {
  prompt: number;
  completion: number;
  finish: string;
}

type Counts = Record<string, number>;

/** Σ (p − q) ln(p/q) over buckets; a bucket that one side never saw counts as half a request there. */
export function stabilityIndex(standard: Counts, newest: Counts): number {
  const names = new Set([...Object.keys(standard), ...Object.keys(newest)]);
  const total = (counts: Counts): number => Object.values(counts).reduce((sum, one) => sum + one, 0);
  const [a, b] = [total(standard), total(newest)];
  if (a === 0 || b === 0) return Number.NaN;
  let index = 0;
  for (const name of names) {
    const p = Math.max(0.5, newest[name] ?? 0) / b;
    const q = Math.max(0.5, standard[name] ?? 0) / a;
    index += (p - q) * Math.log(p / q);
  }
  return index;
}

const bucket = (length: number): string => String(BOUNDS.find((bound) => length <= bound) ?? 'more');

const PARTS = {
  prompt_length: ({ prompt }: Observation) => bucket(prompt),
  answer_length: ({ completion }: Observation) => bucket(completion),
  finish_reason: ({ finish }: Observation) => finish,
} as const;

function countsOf(observations: readonly Observation[], part: keyof typeof PARTS): Counts {
  const counts: Counts = {};
  for (const one of observations) {
    const name = PARTS[part](one);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

export class Drift {
  private readonly models = new Map<string, { standard: Observation[]; newest: Observation[] }>();

  add(model: string, observation: Observation): void {
    const held = this.models.get(model) ?? { standard: [], newest: [] };
    this.models.set(model, held);
    if (held.standard.length < STANDARD) held.standard.push(observation);
    else {
      held.newest.push(observation);
      if (held.newest.length > NEWEST) held.newest.shift();
    }
  }

  /** A model whose weights changed begins anew. */
  forget(model: string): void {
    this.models.delete(model);
  }

  /** By model and part; models without enough requests are left out. */
  *indices(): Generator<{ model: string; of: string; index: number }> {
    for (const [model, { standard, newest }] of this.models) {
      if (newest.length < FEWEST) continue;
      for (const of of Object.keys(PARTS) as (keyof typeof PARTS)[])
        yield { model, of, index: stabilityIndex(countsOf(standard, of), countsOf(newest, of)) };
    }
  }

  publish(metrics: Metrics): void {
    metrics.reset('drift');
    for (const { model, of, index } of this.indices()) metrics.set('drift', index, { model_name: model, of });
  }
}
