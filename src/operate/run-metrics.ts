/** What a training has written about itself so far, read piece by piece while it grows. Knows files, no jobs. */
import path from 'node:path';
import { exists, facts, readStream, readText } from '../base/host.ts';

export interface MetricLine {
  type: string;
  step: number;
  loss?: number;
  val_loss?: number;
  tokens_per_second?: number;
  remaining?: number;
  /** Of pictures that grow: their side at this step, in pixels. */
  size?: number;
  text?: string;
  /** Of a sample that is a file: its place in the run's folder. */
  file?: string;
  /** Of a `state` line: succeeded, stopped, failed. */
  state?: string;
  /** Code of what made it fail. */
  error?: string;
  /** Of a `rollback`: the step that went astray, why, and how often until then. */
  from?: number;
  why?: string;
  rollbacks?: number;
}

/** The score of an `evaluate` line that is no validation loss (`fid_lenet`, …), and that of the state that is kept as the best. */
export function scoreOf(line: MetricLine): { name: string; value: number; best: number } | undefined {
  if (line.type !== 'evaluate') return undefined;
  const all = Object.entries(line);
  for (const [name, value] of all) {
    const best = all.find(([other]) => other === `best_${name}`)?.[1];
    if (name !== 'val_loss' && typeof value === 'number' && typeof best === 'number')
      return { name, value, best };
  }
  return undefined;
}

interface Known {
  lines: MetricLine[];
  /** Bytes read; what stands behind them is half a line or not written yet. */
  offset: number;
  /** The last whole line: by it is seen whether a run that went back has written over what was read. */
  last: string;
}

/** Runs whose lines are kept in memory. */
const KEPT = 16;

export class RunMetrics {
  private readonly known = new Map<string, Known>();
  private readonly reading = new Map<string, Promise<MetricLine[]>>();

  /** All whole lines of a run. Only what was added since the last call is read. */
  lines(folder: string): Promise<readonly MetricLine[]> {
    const under = this.reading.get(folder);
    if (under !== undefined) return under;
    const work = this.read(folder).finally(() => this.reading.delete(folder));
    this.reading.set(folder, work);
    return work;
  }

  /** A run that is started again takes back the lines behind its checkpoint. */
  forget(folder: string): void {
    this.known.delete(folder);
  }

  private async read(folder: string): Promise<MetricLine[]> {
    const file = path.join(folder, 'metrics.jsonl');
    const seen = await facts(file);
    if (seen === undefined) {
      this.known.delete(folder);
      return [];
    }
    const before = this.known.get(folder);
    let known = before !== undefined && before.offset <= seen.size ? before : nothing();
    if (seen.size > known.offset && !(await readOn(file, known, seen.size))) {
      known = nothing();
      await readOn(file, known, seen.size);
    }
    this.known.delete(folder);
    this.known.set(folder, known);
    if (this.known.size > KEPT) this.known.delete(this.known.keys().next().value as string);
    return known.lines;
  }
}

const nothing = (): Known => ({ lines: [], offset: 0, last: '' });

/** False where what was read before is no longer what stands there. */
async function readOn(file: string, known: Known, size: number): Promise<boolean> {
  const before = known.last === '' ? 0 : Buffer.byteLength(known.last) + 1;
  const start = known.offset - before;
  const pieces: Buffer[] = [];
  for await (const piece of readStream(file, { start, end: size - 1 })) pieces.push(piece as Buffer);
  const bytes = Buffer.concat(pieces);
  if (before > 0 && bytes.toString('utf8', 0, before) !== `${known.last}\n`) return false;
  const whole = bytes.lastIndexOf(10) + 1;
  for (const line of bytes.toString('utf8', before, whole).split('\n')) {
    if (line === '') continue;
    known.last = line;
    try {
      known.lines.push(JSON.parse(line) as MetricLine);
    } catch {
      // A line that a kill cut short; a resumed run writes it anew.
    }
  }
  known.offset = start + whole;
  return true;
}

/** Steps that a run is to take, from its configuration; undefined before it is written. */
export async function plannedSteps(folder: string): Promise<number | undefined> {
  const file = path.join(folder, 'config.json');
  if (!(await exists(file))) return undefined;
  try {
    return (JSON.parse(await readText(file)) as { training?: { steps?: number } }).training?.steps;
  } catch {
    return undefined;
  }
}
