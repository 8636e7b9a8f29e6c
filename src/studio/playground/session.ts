/**
 * What happens in the playground: the chosen model, the texts, the settings, and the one run that may be
 * under way. Knows the wire through `generate`; does not draw.
 */
import type { GenerationRequest, Message } from '../api/generate.ts';
import type { ModelInfo } from '../api/types.ts';
import { keep, recall } from '../state/preferences.ts';
import { createStore } from '../state/store.ts';
import { type Run, Runner, textOf } from './runner.ts';
import { type EditedSettings, restored, wireSettings } from './settings.ts';

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

const runner = new Runner();

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
  await runner.follow(currentRequest(model, 'complete'), { prompt }, (run) => session.set({ run }));
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
  await runner.follow(request, {}, (run) => {
    session.set({
      turns: [...open, { role: 'assistant', content: textOf(run), run }],
      run,
    });
  });
}

export function stopRun(): void {
  runner.stop();
}

/** Forgets the conversation and the answer. */
export function clearSession(): void {
  runner.forget();
  session.set({ turns: [], draft: '', run: undefined });
}
