/** Rows and trace of a made-up profile, and of a real one. */
import { describe, expect, it } from 'vitest';
import { tensor } from '../base/tensor.ts';
import { matmul, tanh, trace } from '../program/index.ts';
import { createBackend, type ProfileEvent } from './index.ts';
import { chromeTrace, profileRows, profileTable } from './profile-report.ts';

const event = (op: string, start: number, duration: number): ProfileEvent => ({
  name: `${op}_1`,
  op,
  bytes: 4,
  start,
  duration,
});

describe('a profile', () => {
  it('adds up by op, a run', () => {
    const rows = profileRows(
      [event('Add', 0, 1000), event('MatMul', 1000, 5000), event('Add', 6000, 2000)],
      2,
    );
    expect(rows).toEqual([
      { op: 'MatMul', count: 0.5, milliseconds: 2.5, share: 0.625 },
      { op: 'Add', count: 1, milliseconds: 1.5, share: 0.375 },
    ]);
    expect(profileTable(rows).split('\n')).toHaveLength(4);
  });

  it('becomes a Chrome trace', () => {
    const read = JSON.parse(chromeTrace([event('Add', 3, 4)])) as { traceEvents: object[] };
    expect(read.traceEvents).toEqual([
      { name: 'Add', cat: 'op', ph: 'X', ts: 3, dur: 4, pid: 1, tid: 1, args: { node: 'Add_1', bytes: 4 } },
    ]);
  });

  it('comes from real runs', async () => {
    const backend = await createBackend('cpu', { inline: true });
    const type = { dtype: 'f32' as const, shape: [2, 2] };
    const program = trace('p', { a: type }, ({ a }) => ({ y: tanh(matmul(a as never, a as never)) }));
    const executable = await backend.compile(program, { profile: true });
    await executable.run({ inputs: { a: tensor('f32', [2, 2], [1, 2, 3, 4]) } });
    const rows = profileRows(await executable.profile(), 1);
    expect(rows.map((row) => row.op).sort()).toEqual(['MatMul', 'Tanh']);
    await backend.close();
  });
});
