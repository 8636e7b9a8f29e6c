/**
 * Trainings as the server tells them: the list, the presets, files, and one training that is watched
 * live and found again after a reload or a broken line. Knows the API; does not draw.
 */
import { isAbort, type Problem, RequestFailure, send, sendForJson, toProblem } from '../api/client.ts';
import { eventData } from '../api/sse.ts';
import type {
  FileInfo,
  JobState,
  MetricPoint,
  PresetInfo,
  Sample,
  TrainingEvent,
  TrainingInfo,
  TrainingRequest,
  WentBack,
} from '../api/types.ts';
import { createStore } from '../state/store.ts';

interface Jobs {
  presets: readonly PresetInfo[] | undefined;
  trainings: readonly TrainingInfo[] | undefined;
  problem: Problem | undefined;
}

export const jobs = createStore<Jobs>({
  presets: undefined,
  trainings: undefined,
  problem: undefined,
});

export async function refreshJobs(): Promise<void> {
  try {
    const [presets, trainings] = await Promise.all([
      sendForJson<{ data: PresetInfo[] }>('/api/presets'),
      sendForJson<{ data: TrainingInfo[] }>('/api/trainings'),
    ]);
    const newest = [...trainings.data].sort((one, other) => other.created - one.created);
    jobs.set({ presets: presets.data, trainings: newest, problem: undefined });
  } catch (thrown) {
    jobs.set({ problem: toProblem(thrown) });
  }
}

export async function upload(file: File): Promise<FileInfo> {
  const path = `/api/files?name=${encodeURIComponent(file.name)}`;
  return (await (await send(path, { method: 'POST', body: file })).json()) as FileInfo;
}

export const start = (request: TrainingRequest): Promise<TrainingInfo> =>
  sendForJson<TrainingInfo>('/api/trainings', {
    method: 'POST',
    body: request,
  });

export async function stop(id: string): Promise<void> {
  await send(`/api/trainings/${encodeURIComponent(id)}/stop`, {
    method: 'POST',
    body: {},
  });
}

const TOTAL_AFTER_MS = 500;

export const isFinal = (state: JobState): boolean =>
  state === 'succeeded' || state === 'failed' || state === 'cancelled';

/** One training as it is known so far. Points are by step, so that a history told twice is no harm. */
export interface Watched {
  job: TrainingInfo | undefined;
  points: readonly MetricPoint[];
  samples: readonly Sample[];
  rollbacks: readonly WentBack[];
  remaining: number | undefined;
  /** How many steps it will take, once that can be told. */
  total: number | undefined;
  /** The line to the server is broken and being made again. */
  reconnecting: boolean;
  problem: Problem | undefined;
}

export const UNKNOWN: Watched = {
  job: undefined,
  points: [],
  samples: [],
  rollbacks: [],
  remaining: undefined,
  total: undefined,
  reconnecting: false,
  problem: undefined,
};

/** Joins events into what is known; returns a new value. */
export function absorb(known: Watched, events: readonly TrainingEvent[]): Watched {
  const points = new Map(known.points.map((point) => [point.step, point]));
  const samples = new Map(known.samples.map((sample) => [sample.step, sample]));
  const rollbacks = new Map(known.rollbacks.map((turn) => [turn.rollbacks, turn]));
  let { job, remaining } = known;
  for (const event of events) {
    if (event.type === 'metrics') {
      const { type: _, remaining: left, ...point } = event;
      points.set(point.step, { ...points.get(point.step), ...point });
      remaining = left ?? remaining;
    } else if (event.type === 'sample') {
      const { type: _, ...sample } = event;
      samples.set(sample.step, sample);
    } else if (event.type === 'rollback') {
      const { type: _, ...turn } = event;
      rollbacks.set(turn.rollbacks, turn);
      // What came after is of a course that was given up.
      for (const kept of [points, samples])
        for (const step of kept.keys()) if (step > turn.step) kept.delete(step);
    } else if (event.type === 'state' && job !== undefined) {
      job = {
        ...job,
        state: event.state,
        ...(event.error === undefined ? {} : { error: event.error }),
      };
    }
  }
  const byStep = (one: { step: number }, other: { step: number }) => one.step - other.step;
  return {
    ...known,
    job,
    remaining,
    points: [...points.values()].sort(byStep),
    samples: [...samples.values()].sort(byStep),
    rollbacks: [...rollbacks.values()],
  };
}

/** The number of steps: as the server says, else from its progress at the step it has reached. */
export function totalSteps(job: TrainingInfo, points: readonly MetricPoint[]): number | undefined {
  const said = job.steps ?? job.metrics.steps;
  if (said !== undefined && said > 0) return said;
  const step = points.at(-1)?.step;
  return step === undefined || step === 0 || job.progress <= 0 ? undefined : Math.round(step / job.progress);
}

/** Follows a training until it ends or the signal fires; tells each change. Survives a broken line. */
export async function watch(id: string, signal: AbortSignal, tell: (known: Watched) => void): Promise<void> {
  const path = `/api/trainings/${encodeURIComponent(id)}`;
  let known = UNKNOWN;
  const change = (next: Partial<Watched>) => {
    known = { ...known, ...next };
    if (!signal.aborted) tell(known);
  };
  let asking = false;
  // A job watched from its first step on tells its length only later.
  const askTotal = async () => {
    if (asking) return;
    asking = true;
    await new Promise((resolve) => setTimeout(resolve, TOTAL_AFTER_MS));
    const job = await sendForJson<TrainingInfo>(path, { signal }).catch(() => undefined);
    const total = job === undefined ? undefined : totalSteps(job, job.history ?? []);
    asking = false;
    if (total !== undefined) change({ total });
  };
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    try {
      const job = await sendForJson<TrainingInfo>(path, { signal });
      const history = (job.history ?? []).map((point) => ({ type: 'metrics', ...point }) as const);
      const samples = (job.samples ?? []).map((sample) => ({ type: 'sample', ...sample }) as const);
      known = { ...known, job, remaining: job.remaining ?? known.remaining };
      const rollbacks = (job.rollbacks ?? []).map((turn) => ({ type: 'rollback', ...turn }) as const);
      known = absorb(known, [...rollbacks, ...history, ...samples]);
      change({
        total: totalSteps(job, known.points) ?? known.total,
        reconnecting: false,
        problem: undefined,
      });
      if (!isFinal(job.state)) {
        await listen(path, signal, (events) => {
          change(absorb(known, events));
          if (known.total === undefined) void askTotal();
        });
      }
      if (known.job !== undefined && isFinal(known.job.state)) return;
      attempt = 0;
    } catch (thrown) {
      if (isAbort(thrown) || signal.aborted) return;
      const problem = toProblem(thrown);
      const lasting =
        thrown instanceof RequestFailure && ['missing', 'denied', 'rejected'].includes(problem.kind);
      if (lasting || (known.job === undefined && attempt >= 3))
        return change({ problem, reconnecting: false });
      change({ reconnecting: true });
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(5000, 500 * 2 ** attempt)));
  }
}

/** Hands on events, many at once where they come fast: the history may be thousands of lines. */
async function listen(
  path: string,
  signal: AbortSignal,
  tell: (events: TrainingEvent[]) => void,
): Promise<void> {
  const response = await send(`${path}/events`, { signal });
  if (response.body === null) return;
  let waiting: TrainingEvent[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    if (waiting.length > 0) tell(waiting);
    waiting = [];
  };
  try {
    for await (const data of eventData(response.body)) {
      if (data === '[DONE]') break;
      try {
        waiting.push(JSON.parse(data) as TrainingEvent);
      } catch {
        continue; // One unreadable line costs one point of the chart, not the training's view.
      }
      timer ??= setTimeout(flush, 120);
    }
  } finally {
    flush();
  }
}
