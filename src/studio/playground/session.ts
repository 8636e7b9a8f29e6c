/**
 * What happens in the playground: the chosen model, the texts, the settings, and the one run that may be
 * under way. Knows the wire through `generate`; does not draw.
 */
import { isAbort, type Problem, toProblem } from '../api/client.ts';
import { type GenerationRequest, generate, type Message } from '../api/generate.ts';
import type { ModelInfo } from '../api/types.ts';
import { keep, recall } from '../state/preferences.ts';
import { createStore } from '../state/store.ts';
import { type EditedSettings, restored, wireSettings } from './settings.ts';
import { type Unit, UnitCollector } from './tokens.ts';

export interface Run {
  phase: 'loading' | 'waiting' | 'streaming' | 'done' | 'stopped' | 'failed';
  /** Grows in place while streaming; the run object is new each time it is drawn. */
  units: readonly Unit[];
  tokens: number;
  /** Milliseconds of `performance.now()`. */
  started: number;
  first?: number;
  ended?: number;
  reason?: string;
  problem?: Problem;
  loading?: { message: string; progress?: number };
  /** The text that was continued; undefined in a conversation. */
  prompt?: string;
}

export interface Turn {
  role: 'user' | 'assistant';
  content: string;
  run?: Run;
}

export type Mode = 'complete' | 'chat';

interface Session {
  model: string | undefined;
  /** What the person chose; a base model completes whatever is chosen. */
  mode: Mode | undefined;
  prompt: string;
  system: string;
  draft: string;
  turns: readonly Turn[];
  settings: EditedSettings;
  probabilities: boolean;
  run: Run | undefined;
}

const KEPT = 'inkstone.playground';
const kept = recall<Session>(KEPT);

export const session = createStore<Session>({
  model: typeof kept.model === 'string' ? kept.model : undefined,
  mode: kept.mode === 'chat' || kept.mode === 'complete' ? kept.mode : undefined,
  prompt: typeof kept.prompt === 'string' ? kept.prompt : '',
  system: typeof kept.system === 'string' ? kept.system : '',
  draft: '',
  turns: [],
  settings: restored(kept.settings ?? {}),
  probabilities: kept.probabilities !== false,
  run: undefined,
});

let written: Partial<Session> = {};
session.subscribe(() => {
  const { model, mode, prompt, system, settings, probabilities } = session.get();
  const now: Partial<Session> = {
    model,
    mode,
    prompt,
    system,
    settings,
    probabilities,
  };
  // A stream changes the run many times a second; what is kept is written only when it changed itself.
  if ((Object.keys(now) as (keyof Session)[]).every((name) => written[name] === now[name])) return;
  written = now;
  keep(KEPT, now);
});

let abort: AbortController | undefined;

export const isRunning = (run: Run | undefined): boolean =>
  run?.phase === 'loading' || run?.phase === 'waiting' || run?.phase === 'streaming';

/** The mode in force: a base model only completes; a chat model starts in conversation. */
export function modeFor(model: ModelInfo | undefined, chosen: Mode | undefined): Mode {
  if (model?.chat !== true) return 'complete';
  return chosen ?? 'chat';
}

export function messagesOf(system: string, turns: readonly Turn[]): Message[] {
  const said = turns.filter((turn) => turn.content !== '').map(({ role, content }) => ({ role, content }));
  return system.trim() === '' ? said : [{ role: 'system', content: system }, ...said];
}

/** The request as the page stands now. */
export function currentRequest(model: string, mode: Mode): GenerationRequest {
  const { prompt, system, turns, draft, settings, probabilities } = session.get();
  const open = draft.trim() === '' ? turns : [...turns, { role: 'user' as const, content: draft }];
  return {
    model,
    input: mode === 'chat' ? { messages: messagesOf(system, open) } : { prompt },
    settings: wireSettings(settings),
    probabilities,
  };
}

/** Continues the prompt. */
export async function complete(model: string): Promise<void> {
  const { prompt } = session.get();
  await follow(currentRequest(model, 'complete'), { prompt }, (run) => session.set({ run }));
}

/** Goes on where the last answer ended. */
export async function continueRun(model: string): Promise<void> {
  const { run } = session.get();
  if (run?.prompt === undefined) return;
  session.set({ prompt: run.prompt + textOf(run) });
  await complete(model);
}

/** Sends the draft, or the last question again when `again` is set. */
export async function say(model: string, again = false): Promise<void> {
  const { draft, turns } = session.get();
  const asked = again ? turns.slice(0, turns.findLastIndex((turn) => turn.role === 'user') + 1) : turns;
  session.set({ turns: asked });
  const request = currentRequest(model, 'chat');
  const open: Turn[] = again ? [...asked] : [...asked, { role: 'user', content: draft }];
  session.set({ draft: '', turns: open });
  await follow(request, {}, (run) => {
    session.set({
      turns: [...open, { role: 'assistant', content: textOf(run), run }],
      run,
    });
  });
}

export function stopRun(): void {
  abort?.abort();
}

/** Forgets the conversation and the answer. */
export function clearSession(): void {
  stopRun();
  abort = undefined;
  session.set({ turns: [], draft: '', run: undefined });
}

export function textOf(run: Run): string {
  return run.units.map((unit) => unit.text).join('');
}

/** Runs a request and shows it as it grows, at most once a frame. */
async function follow(request: GenerationRequest, about: Pick<Run, 'prompt'>, show: (run: Run) => void) {
  stopRun();
  const mine = new AbortController();
  abort = mine;
  const collector = new UnitCollector();
  let run: Run = {
    phase: 'waiting',
    units: collector.units,
    tokens: 0,
    started: performance.now(),
    ...about,
  };
  let frame = 0;
  const update = (change: Partial<Run>, now = true) => {
    run = { ...run, ...change };
    if (abort !== mine) return;
    if (now) {
      cancelAnimationFrame(frame);
      frame = 0;
      show(run);
    } else if (frame === 0) {
      frame = requestAnimationFrame(() => {
        frame = 0;
        if (abort === mine) show(run);
      });
    }
  };
  update({});
  try {
    for await (const event of generate(request, mine.signal)) {
      if (event.type === 'loading') update({ phase: 'loading', loading: event });
      else if (event.type === 'open') update({ phase: 'waiting' });
      else if (event.type === 'piece') {
        // Without probabilities a piece is counted as one token until the server says the number.
        const count = collector.add(event.text, event.tokens) || (request.probabilities ? 0 : 1);
        update(
          {
            phase: 'streaming',
            tokens: run.tokens + count,
            first: run.first ?? performance.now(),
          },
          run.first === undefined,
        );
      } else {
        update({
          phase: 'done',
          reason: event.reason,
          tokens: event.tokens ?? run.tokens,
          ended: performance.now(),
        });
      }
    }
  } catch (thrown) {
    const ended = performance.now();
    if (isAbort(thrown) || mine.signal.aborted) update({ phase: 'stopped', ended });
    else update({ phase: 'failed', problem: toProblem(thrown), ended });
  }
}
