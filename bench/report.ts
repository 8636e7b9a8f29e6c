/** What a benchmark hands back, and how people see it. Measures nothing. */
import path from 'node:path';
import * as host from '../src/base/host.ts';
import type { Spread } from './interleave.ts';
import type { Absent } from './peers.ts';

export interface BenchCase {
  /** `nanogpt-cpu, PyTorch eager`. */
  case: string;
  /** `ms/step`, `tokens/s`, `GFLOP/s`. */
  unit: string;
  /** Which is better, `lower` or `higher`, for `ours`, `peer` and `ratio` alike. */
  better: 'lower' | 'higher';
  ours: number;
  /** null for a peer that is absent. */
  peer: number | null;
  peer_name: string | null;
  peer_version: string | null;
  /** ours / peer, both from this run. */
  ratio: number | null;
  /** Quartiles, in the unit. */
  ours_spread?: Spread;
  peer_spread?: Spread;
  /** Part of the float32 product peak measured in this run. */
  share_of_peak?: number;
  peer_share_of_peak?: number;
  /** Part of the memory bandwidth measured in this run. */
  share_of_bandwidth?: number;
  peer_share_of_bandwidth?: number;
  /** How the losses of the first steps compare. */
  losses?: { steps: number; ours: number[]; peer: number[]; largest_difference: number };
  /** Most resident memory of the process, bytes. */
  ours_memory?: number;
  peer_memory?: number;
  threads?: { ours: number; peer: number | null };
  /** Why a peer is absent and what to type to get it, or how it was measured otherwise. */
  note?: string;
}

/** One line of a table beside the cases. */
export type BenchRow = Record<string, string | number | null>;

export interface BenchResult {
  bench: string;
  commit: string;
  machine: {
    platform: string;
    architecture: string;
    cpu: string;
    cores: number;
    memory: number;
    node: string;
    threads: number;
    runtime: string;
    /** Measured in this run: GFLOP/s of the best float32 product, GB/s, and by which library. */
    gemm_peak?: number;
    gemm_peak_by?: string;
    /** The best of each library that was measured. */
    gemm_peaks?: Record<string, number>;
    bandwidth?: number;
    bandwidth_by?: string;
    /** GB/s of reading an array as large as the model's weights, which may fit a cache. */
    bandwidth_cached?: number;
  };
  data?: string;
  seconds: number;
  cases: BenchCase[];
  /** What is no comparison with a peer; all rows have the same names. */
  table?: BenchRow[];
}

export const round = (value: number, digits = 4): number => Number(value.toPrecision(digits));

export function scaled(spread: Spread, factor: (seconds: number) => number): Spread {
  const ends = [factor(spread.lower), factor(spread.upper)].sort((a, b) => a - b) as [number, number];
  return {
    median: round(factor(spread.median)),
    lower: round(ends[0]),
    upper: round(ends[1]),
    samples: spread.samples,
  };
}

/** One case for each absent peer, so that nobody takes silence for a win. */
export function absentCase(
  name: string,
  unit: string,
  better: BenchCase['better'],
  ours: number,
  absent: Absent,
  peerName: string,
): BenchCase {
  return {
    case: name,
    unit,
    better,
    ours,
    peer: null,
    peer_name: peerName,
    peer_version: null,
    ratio: null,
    note: `absent: ${absent.reason}. To compare, ${absent.install}`,
  };
}

/** The commit of the checkout, with `+` where files differ from it; `unknown` outside a checkout. */
export async function commit(): Promise<string> {
  const run = (args: string[]): Promise<string | undefined> =>
    new Promise((resolve) => {
      let said = '';
      const child = host.spawnProcess('git', args, {
        cwd: host.packageFolder,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
      child.on('error', () => resolve(undefined));
      child.on('close', (status) => resolve(status === 0 ? said.trim() : undefined));
    });
  const top = await run(['rev-parse', '--show-toplevel']);
  if (top === undefined || path.resolve(top) !== host.packageFolder) return 'unknown';
  const hash = await run(['rev-parse', '--short=12', 'HEAD']);
  const changes = await run([
    'status',
    '--porcelain',
    '--untracked-files=no',
    '--',
    'src',
    'bench',
    'package-lock.json',
  ]);
  return `${hash}${changes === '' ? '' : '+'}`;
}

const percent = (share: number | undefined): string =>
  share === undefined ? '' : `${(100 * share).toFixed(0)} %`;

/** Columns as wide as their widest cell. */
function aligned(rows: readonly (readonly string[])[], left: (column: number) => boolean): string[] {
  const [head = []] = rows;
  const widths = head.map((_, i) => Math.max(...rows.map((row) => (row[i] as string).length)));
  return rows.map((cells) =>
    cells
      .map((cell, i) => (left(i) ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number)))
      .join('  ')
      .trimEnd(),
  );
}

function tableLines(table: readonly BenchRow[]): string[] {
  const [first] = table;
  if (first === undefined) return [];
  const head = Object.keys(first);
  const rows = table.map((row) => head.map((name) => String(row[name] ?? '–')));
  return ['', ...aligned([head, ...rows], (i) => i === 0)];
}

/** A table for people. */
export function show(result: BenchResult): string {
  const head = ['case', 'unit', 'ours', 'peer', 'ratio', 'share', "peer's", 'version'];
  const rows = result.cases.map((one) => [
    one.case,
    one.unit,
    String(round(one.ours)),
    one.peer === null ? '–' : String(round(one.peer)),
    one.ratio === null ? '–' : one.ratio.toFixed(3),
    percent(one.share_of_peak ?? one.share_of_bandwidth),
    percent(one.peer_share_of_peak ?? one.peer_share_of_bandwidth),
    one.peer_version ?? '',
  ]);
  const { machine } = result;
  const limits = [
    machine.gemm_peak === undefined
      ? ''
      : `float32 product peak ${machine.gemm_peak} GFLOP/s (${machine.gemm_peak_by})`,
    machine.bandwidth === undefined ? '' : `memory ${machine.bandwidth} GB/s (${machine.bandwidth_by})`,
  ].filter((text) => text !== '');
  const notes = result.cases.flatMap(({ case: name, note }) =>
    note === undefined ? [] : [`  ${name}: ${note}`],
  );
  return [
    `${result.bench} at ${result.commit}: ${machine.cpu}, ${machine.threads} threads, ${machine.runtime}`,
    ...(limits.length === 0 ? [] : [limits.join('; ')]),
    '',
    ...aligned([head, ...rows], (i) => i < 2 || i === 7),
    ...tableLines(result.table ?? []),
    ...(notes.length === 0 ? [] : ['', ...notes]),
    '',
    'ratio = ours / peer, from this run alone; ms: lower is better, all else: higher is better',
  ].join('\n');
}
