/** What is looked at: model, text, view, and the newest inspection. Knows the API; does not draw. */
import { isAbort, type Problem, RequestFailure, toProblem } from '../api/client.ts';
import { type Loading, patiently } from '../api/patient.ts';
import type { Inspection } from '../api/types.ts';
import { keep, recall } from '../state/preferences.ts';
import { createStore } from '../state/store.ts';
import { type Layer, layersOf } from './attention.ts';

export const VIEWS = ['surprise', 'attention'] as const;
export type View = (typeof VIEWS)[number];

/** Alternatives per token. */
const TOP = 5;
/** The server draws no larger maps. */
export const MOST_ATTENDED = 256;

export interface Found {
  text: string;
  inspection: Inspection;
  layers: readonly Layer[];
}

interface Look {
  model: string | undefined;
  text: string;
  unit: 'nats' | 'bits';
  /** By view: a text may be too long for one of them. */
  found: Partial<Record<View, Found>>;
  busy: View | undefined;
  loading: Loading | undefined;
  problem: Problem | undefined;
}

const KEPT = 'inkstone.inspect';
const kept = recall<Look>(KEPT);

export const look = createStore<Look>({
  model: typeof kept.model === 'string' ? kept.model : undefined,
  text: typeof kept.text === 'string' ? kept.text : '',
  unit: kept.unit === 'bits' ? 'bits' : 'nats',
  found: {},
  busy: undefined,
  loading: undefined,
  problem: undefined,
});

look.subscribe(() => {
  const { model, text, unit } = look.get();
  keep(KEPT, { model, text: text.slice(0, 20_000), unit });
});

let abort: AbortController | undefined;

/** Forgets what was found: another model reads otherwise. */
export function forget(): void {
  abort?.abort();
  look.set({ found: {}, busy: undefined, loading: undefined, problem: undefined });
}

/** Reads the text with the model, for one view. */
export async function inspect(model: string, view: View): Promise<void> {
  abort?.abort();
  const mine = new AbortController();
  abort = mine;
  const { text } = look.get();
  look.set({ busy: view, problem: undefined, loading: undefined });
  const body = { model, text, top: TOP, attention: view === 'attention', format: 'base64' };
  try {
    const asking = patiently('/api/inspect', body, mine.signal);
    let step = await asking.next();
    for (; step.done !== true; step = await asking.next()) look.set({ loading: step.value });
    const inspection = (await step.value.json().catch(() => {
      throw new RequestFailure({ kind: 'broken', status: 200, code: 'bad_answer', message: '' });
    })) as Inspection;
    if (abort !== mine) return;
    look.set(({ found }) => ({
      // What was found in another text is of no use beside this one.
      found: {
        ...Object.fromEntries(Object.entries(found).filter(([, other]) => other.text === text)),
        [view]: { text, inspection, layers: layersOf(inspection) },
      },
      busy: undefined,
      loading: undefined,
    }));
  } catch (thrown) {
    if (abort !== mine || isAbort(thrown)) return;
    look.set({ busy: undefined, loading: undefined, problem: toProblem(thrown) });
  }
}
