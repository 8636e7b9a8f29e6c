/** What a profile says: time and share of each op, as a table for people and as a Chrome trace. Measures nothing. */
import type { ProfileEvent } from './contract.ts';

export interface ProfileRow {
  op: string;
  /** Nodes of this op a run. */
  count: number;
  /** Milliseconds a run, all nodes together. */
  milliseconds: number;
  /** Of all ops' time, 0 to 1. */
  share: number;
}

/** Rows by time, the largest first. */
export function profileRows(events: readonly ProfileEvent[], runs: number): ProfileRow[] {
  const total = events.reduce((sum, event) => sum + event.duration, 0);
  const byOp = new Map<string, { count: number; duration: number }>();
  for (const { op, duration } of events) {
    const row = byOp.get(op) ?? { count: 0, duration: 0 };
    byOp.set(op, { count: row.count + 1, duration: row.duration + duration });
  }
  return [...byOp]
    .map(([op, { count, duration }]) => ({
      op,
      count: count / runs,
      milliseconds: duration / runs / 1000,
      share: total === 0 ? 0 : duration / total,
    }))
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

export function profileTable(rows: readonly ProfileRow[]): string {
  const total = rows.reduce((sum, row) => sum + row.milliseconds, 0);
  const line = (op: string, count: string, time: string, share: string): string =>
    `${op.padEnd(28)}${count.padStart(8)}${time.padStart(12)}${share.padStart(9)}`;
  return [
    line('op', 'nodes', 'ms a run', 'share'),
    ...rows.map((row) =>
      line(row.op, row.count.toFixed(0), row.milliseconds.toFixed(3), `${(row.share * 100).toFixed(1)} %`),
    ),
    line('all', rows.reduce((sum, row) => sum + row.count, 0).toFixed(0), total.toFixed(3), '100.0 %'),
  ].join('\n');
}

/** For chrome://tracing and Perfetto. Times in microseconds. */
export function chromeTrace(events: readonly ProfileEvent[]): string {
  const traceEvents = events.map(({ name, op, start, duration, bytes }) => ({
    name: op,
    cat: 'op',
    ph: 'X',
    ts: start,
    dur: duration,
    pid: 1,
    tid: 1,
    args: { node: name, bytes },
  }));
  return JSON.stringify({ displayTimeUnit: 'ms', traceEvents });
}
