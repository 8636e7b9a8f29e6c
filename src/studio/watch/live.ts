/** What the server says of itself, looked at again and again while the room is open. Knows shapes, draws nothing. */
import { isAbort, type Problem, send, sendForJson, toProblem } from '../api/client.ts';
import { createStore } from '../state/store.ts';

export interface Point {
  /** Milliseconds since 1970. */
  at: number;
  running: number | null;
  waiting: number | null;
  requestsPerSecond: number | null;
  tokensPerSecond: number | null;
  firstToken50: number | null;
  firstToken95: number | null;
  betweenTokens95: number | null;
}

export interface LiveAlert {
  rule: string;
  severity: string;
  summary: string;
  hint: string;
  state: string;
  since: number;
  silenced: boolean;
}

export interface LiveReplica {
  model: string;
  state: string;
  memory: number | null;
  restarts: number;
  running: number;
  waiting: number;
  cacheUsed: number | null;
}

export interface LiveKey {
  id: string;
  name: string;
  prefix: string;
  requests: number;
  prompt: number;
  completion: number;
  cost: number;
  spent: number;
  budget: number | null;
}

export interface Live {
  at: number;
  every: number;
  points: readonly Point[];
  queue: { running: number; waiting: number; oldest: number };
  machine: { memoryUsed: number; diskUsed: number | null };
  replicas: readonly LiveReplica[];
  alerts: readonly LiveAlert[];
  silences: readonly { id: string; rule: string; until: number }[];
  keys: readonly LiveKey[];
}

export const live = createStore<{ now?: Live | undefined; problem?: Problem | undefined }>({});

export async function look(signal?: AbortSignal): Promise<void> {
  try {
    const now = await sendForJson<Live>('api/watch', signal === undefined ? {} : { signal });
    live.set({ now, problem: undefined });
  } catch (thrown) {
    if (!isAbort(thrown)) live.set({ problem: toProblem(thrown) });
  }
}

/** Milliseconds between two looks, whatever the server says: numbers that jump are hard to read. */
const FASTEST = 2000;

/** Looks until the returned function is called. */
export function follow(): () => void {
  const gone = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const again = async (): Promise<void> => {
    await look(gone.signal);
    if (gone.signal.aborted) return;
    const { now } = live.get();
    timer = setTimeout(again, Math.max(FASTEST, Math.min(5000, (now?.every ?? 5) * 1000)));
  };
  void again();
  return () => {
    gone.abort();
    clearTimeout(timer);
  };
}

export async function silence(rule: string): Promise<void> {
  await act(() => send('api/alerts/silences', { method: 'POST', body: { rule, hours: 2 } }));
}

/** Ends every silence that hides this rule. */
export async function unsilence(rule: string): Promise<void> {
  const all = live.get().now?.silences ?? [];
  const hides = (pattern: string): boolean =>
    pattern === rule || (pattern.endsWith('*') && rule.startsWith(pattern.slice(0, -1)));
  for (const { id } of all.filter((one) => hides(one.rule)))
    await act(() => send(`api/alerts/silences/${encodeURIComponent(id)}`, { method: 'DELETE' }));
}

async function act(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
    await look();
  } catch (thrown) {
    live.set({ problem: toProblem(thrown) });
  }
}
