import { afterEach, describe, expect, it, vi } from 'vitest';
import type { TrainingEvent, TrainingInfo } from '../api/types.ts';
import { absorb, totalSteps, UNKNOWN, type Watched, watch } from './jobs.ts';

const JOB: TrainingInfo = {
  id: 'j',
  kind: 'training',
  name: 'n',
  preset: 'p',
  state: 'running',
  progress: 0,
  created: 1,
  metrics: {},
};

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('absorb', () => {
  const events: TrainingEvent[] = [
    { type: 'metrics', step: 20, loss: 2, tokens_per_second: 5, remaining: 9 },
    { type: 'metrics', step: 10, loss: 3, tokens_per_second: 5 },
    { type: 'metrics', step: 20, val_loss: 2.1 },
    { type: 'sample', step: 20, text: 'hi' },
    { type: 'state', state: 'failed', error: { code: 'nan', message: 'NaN', hint: 'Lower it.' } },
  ];

  it('joins points by step, in order, and the state', () => {
    const known = absorb({ ...UNKNOWN, job: JOB }, events);
    expect(known.points).toEqual([
      { step: 10, loss: 3, tokens_per_second: 5 },
      { step: 20, loss: 2, tokens_per_second: 5, val_loss: 2.1 },
    ]);
    expect(known.job).toMatchObject({ state: 'failed', error: { hint: 'Lower it.' } });
    expect(known.remaining).toBe(9);
  });

  it('forgets what came of a course that was given up', () => {
    const turn = { step: 10, from: 24, rollbacks: 1, why: 'it collapsed' };
    const told: TrainingEvent[] = [...events, { type: 'rollback', ...turn }];
    const known = absorb({ ...UNKNOWN, job: JOB }, told);
    expect([known.points.map(({ step }) => step), known.samples, known.rollbacks]).toEqual([
      [10],
      [],
      [turn],
    ]);
    const on = absorb(known, [{ type: 'metrics', step: 20, loss: 1 }]);
    expect(on.points.at(-1)).toEqual({ step: 20, loss: 1 });
    // A broken line is made again, and all of it is told once more.
    expect(absorb(on, [...told, { type: 'metrics', step: 20, loss: 1 }])).toEqual(on);
  });

  it('is not changed by the same history told again', () => {
    const once = absorb({ ...UNKNOWN, job: JOB }, events);
    expect(absorb(once, events)).toEqual(once);
  });
});

it('tells the number of steps from what there is', () => {
  const points = [{ step: 50 }];
  expect(totalSteps({ ...JOB, steps: 400 }, [])).toBe(400);
  expect(totalSteps({ ...JOB, metrics: { steps: 300 } }, [])).toBe(300);
  expect(totalSteps({ ...JOB, progress: 0.25 }, points)).toBe(200);
  expect(totalSteps(JOB, points)).toBeUndefined();
  expect(totalSteps({ ...JOB, progress: 0.5 }, [])).toBeUndefined();
});

describe('watch', () => {
  function server(answers: Record<string, () => Response>) {
    vi.stubGlobal('document', { baseURI: 'http://localhost/' });
    vi.stubGlobal('fetch', async (address: string) => {
      const answer = answers[new URL(address).pathname];
      if (answer === undefined) throw new TypeError('no');
      return answer();
    });
  }

  it('connects again after a broken line and ends with a final state', async () => {
    let lines = 0;
    server({
      '/api/trainings/j': () => Response.json({ ...JOB, history: [{ step: 1, loss: 4 }] }),
      '/api/trainings/j/events': () => {
        lines += 1;
        const end = lines === 2 ? 'data: {"type":"state","state":"succeeded"}\n\n' : 'data: {broken\n\n';
        return new Response(`data: {"type":"metrics","step":${lines},"loss":3}\n\n${end}`);
      },
    });
    let last: Watched = UNKNOWN;
    await watch('j', new AbortController().signal, (known) => {
      last = known;
    });
    expect(lines).toBe(2);
    expect(last.job?.state).toBe('succeeded');
    expect(last.points.map((point) => point.step)).toEqual([1, 2]);
  });

  it('gives up at once on a training that is not there', async () => {
    server({ '/api/trainings/j': () => Response.json({ error: { code: 'missing' } }, { status: 404 }) });
    let last: Watched = UNKNOWN;
    await watch('j', new AbortController().signal, (known) => {
      last = known;
    });
    expect(last.problem?.kind).toBe('missing');
  });
});
