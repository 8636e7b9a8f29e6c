/** `inkstone profile`: the table of a step's ops, and a trace in Chrome's format that adds up to it. */
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runMain } from '../testing.ts';

let folder: string;
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-profile-'));
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

interface Row {
  op: string;
  count: number;
  milliseconds: number;
  share: number;
}
interface TraceEvent {
  name: string;
  cat: string;
  ph: string;
  ts: number;
  dur: number;
  pid: number;
  tid: number;
  args: { node: string };
}

test('two steps of the tiny preset: ops with their share, and a trace that Perfetto opens', async () => {
  const trace = path.join(folder, 'step.json');
  const { status, json } = await runMain([
    ...['profile', '--preset', 'tiny', '--steps', '2', '--trace', trace, '--json'],
  ]);
  expect(status).toBe(0);
  expect(json).toMatchObject({ preset: 'tiny', steps: 2, trace });
  const rows = json.rows as Row[];
  expect(rows.map(({ op }) => op)).toContain('MatMul');
  expect(rows.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 6);
  expect(rows.map((row) => row.milliseconds)).toEqual(
    rows.map((row) => row.milliseconds).toSorted((a, b) => b - a),
  );

  const written = JSON.parse(await fs.readFile(trace, 'utf8')) as { traceEvents: TraceEvent[] };
  expect(written).toMatchObject({ displayTimeUnit: 'ms' });
  for (const { name, cat, ph, ts, dur, pid, tid, args } of written.traceEvents) {
    expect([cat, ph, pid, tid]).toEqual(['op', 'X', 1, 1]);
    expect(name.length * args.node.length).toBeGreaterThan(0);
    expect(Number.isFinite(ts) && ts >= 0 && dur >= 0).toBe(true);
  }
  // Both steps are in the trace; the table is of one.
  for (const { op, count, milliseconds } of rows) {
    const same = written.traceEvents.filter(({ name }) => name === op);
    expect(same.length).toBe(2 * count);
    expect(same.reduce((sum, { dur }) => sum + dur, 0) / 2000).toBeCloseTo(milliseconds, 6);
  }
});

test('a preset that is not there is named', async () => {
  const { status, error } = await runMain(['profile', '--preset', 'nothing', '--json']);
  expect([status, error.code]).toEqual([2, 'preset_unknown']);
});
