/**
 * Whether a model's traffic is what it was: lengths of prompts and of answers, and what ended them, against the model's first
 * requests, by the population stability index. What the first ones were is kept in the store, over restarts and for all
 * servers on it. Sees numbers, never text.
 */
import type { Row, Rows } from '../../base/contracts/store.ts';
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

type Part = keyof typeof PARTS;
const NAMES = Object.keys(PARTS) as Part[];

function count(counts: Counts, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

function countsOf(observations: readonly Observation[], part: Part): Counts {
  const counts: Counts = {};
  for (const one of observations) count(counts, PARTS[part](one));
  return counts;
}

/** A model's first requests, counted. */
interface Standard {
  requests: number;
  counts: Record<Part, Counts>;
}
type StandardRow = Row & Standard;

const empty = (): Standard => ({
  requests: 0,
  counts: { prompt_length: {}, answer_length: {}, finish_reason: {} },
});

interface Held {
  standard: Standard;
  newest: Observation[];
  /** Came before it was known what the store has; undefined once it is. */
  waiting: Observation[] | undefined;
  /** Requests of the standard as it was last written. */
  written: number;
}

const COLLECTION = 'drift-standards';
/** Requests of a standard between two writes. */
const EVERY = 100;

export class Drift {
  private readonly models = new Map<string, Held>();
  private readonly rows: Rows | undefined;
  /** What is read and written, one behind the other. */
  private last: Promise<unknown> = Promise.resolve();

  /** @param rows without them nothing is kept */
  constructor(rows?: Rows) {
    this.rows = rows;
  }

  add(model: string, observation: Observation): void {
    let held = this.models.get(model);
    if (held === undefined) {
      held = { standard: empty(), newest: [], waiting: this.rows && [], written: 0 };
      this.models.set(model, held);
      this.load(model, held);
    }
    if (held.waiting === undefined) this.take(model, held, observation);
    else if (held.waiting.length < STANDARD) held.waiting.push(observation);
  }

  private take(model: string, held: Held, observation: Observation): void {
    const { standard, newest } = held;
    if (standard.requests >= STANDARD) {
      newest.push(observation);
      if (newest.length > NEWEST) newest.shift();
      return;
    }
    standard.requests++;
    for (const part of NAMES) count(standard.counts[part], PARTS[part](observation));
    if (standard.requests - held.written >= EVERY || standard.requests === STANDARD) this.write(model, held);
  }

  private load(model: string, held: Held): void {
    const { rows } = this;
    if (rows === undefined) return;
    this.inTurn(async () => {
      const row = await rows.get<StandardRow>(COLLECTION, model).catch(() => undefined);
      const { waiting = [] } = held;
      if (row !== undefined) {
        held.standard = { requests: row.requests, counts: { ...empty().counts, ...row.counts } };
        held.written = row.requests;
      }
      held.waiting = undefined;
      if (this.models.get(model) === held) for (const one of waiting) this.take(model, held, one);
    });
  }

  /** Where another server has seen more, that one's stands. */
  private write(model: string, held: Held): void {
    const { rows } = this;
    if (rows === undefined || held.standard.requests === held.written) return;
    held.written = held.standard.requests;
    this.inTurn(async () => {
      if (this.models.get(model) !== held) return;
      const { standard } = held;
      await rows.update<StandardRow>(COLLECTION, model, (found) =>
        found !== undefined && found.requests >= standard.requests ? undefined : { id: model, ...standard },
      );
    });
  }

  /** What fails is tried again with the next write. */
  private inTurn(work: () => Promise<void>): void {
    this.last = this.last.then(work).catch(() => undefined);
  }

  /** A model whose weights changed begins anew. */
  forget(model: string): void {
    this.models.delete(model);
    const { rows } = this;
    if (rows !== undefined) this.inTurn(async () => void (await rows.remove(COLLECTION, model)));
  }

  /** By model and part; models without enough requests are left out. */
  *indices(): Generator<{ model: string; of: string; index: number }> {
    for (const [model, { standard, newest }] of this.models) {
      if (newest.length < FEWEST) continue;
      for (const of of NAMES)
        yield { model, of, index: stabilityIndex(standard.counts[of], countsOf(newest, of)) };
    }
  }

  publish(metrics: Metrics): void {
    metrics.reset('drift');
    for (const { model, of, index } of this.indices()) metrics.set('drift', index, { model_name: model, of });
  }

  /** Resolves when all is written. */
  async close(): Promise<void> {
    await this.last;
    for (const [model, held] of this.models) this.write(model, held);
    await this.last;
  }
}
