/** One comparison as it goes: setup, two answers at once, the vote, and the votes so far. Knows the API; does not draw. */
import { type Problem, sendForJson, toProblem } from '../api/client.ts';
import type { ModelInfo, Votes } from '../api/types.ts';
import { isRunning, type Run, Runner, textOf } from '../playground/runner.ts';
import { keep, recall } from '../state/preferences.ts';
import { createStore } from '../state/store.ts';
import { listPrompts, type PromptSummary, renderPrompt } from './prompts.ts';
import {
  inputOf,
  nameOf,
  type RenderedPrompt,
  readSetup,
  requestOf,
  type Setup,
  type SideName,
} from './sides.ts';

/** What was started: the setup may be edited while it is read. */
export interface Round {
  setup: Setup;
  models: Record<SideName, string>;
  names: Record<SideName, string>;
  /** Who stands left and who right; by chance where the round is blind. */
  order: readonly [SideName, SideName];
  blind: boolean;
}

interface Duel {
  setup: Setup;
  round: Round | undefined;
  runs: Partial<Record<SideName, Run>>;
  vote: SideName | 'tie' | undefined;
  votes: Votes | undefined;
  /** Kept by the server; none where it keeps none. */
  prompts: readonly PromptSummary[];
  problem: Problem | undefined;
}

const KEPT = 'inkstone.compare';

export const duel = createStore<Duel>({
  setup: readSetup(recall<Setup>(KEPT)),
  ...{ round: undefined, runs: {}, vote: undefined, votes: undefined, problem: undefined },
  prompts: [],
});

let written: Setup | undefined;
duel.subscribe(() => {
  const { setup } = duel.get();
  if (setup === written) return;
  written = setup;
  keep(KEPT, setup);
});

const runners: Record<SideName, Runner> = { a: new Runner(), b: new Runner() };

export const changeSetup = (part: Partial<Setup>): void =>
  duel.set(({ setup }) => ({ setup: { ...setup, ...part } }));

export const bothEnded = ({ runs }: Pick<Duel, 'runs'>): boolean =>
  runs.a !== undefined && runs.b !== undefined && !isRunning(runs.a) && !isRunning(runs.b);

/** Names are hidden until the vote. */
export const isHidden = ({ round, vote }: Pick<Duel, 'round' | 'vote'>): boolean =>
  round?.blind === true && vote === undefined;

/** Lets both write, at the same time. */
export async function start(models: Record<SideName, ModelInfo>): Promise<void> {
  stop();
  const { setup } = duel.get();
  const [coin = 0] = crypto.getRandomValues(new Uint8Array(1));
  const turned = setup.blind && coin % 2 === 1;
  const round: Round = {
    setup,
    models: { a: models.a.id, b: models.b.id },
    names: { a: nameOf(setup.a, models.a.id), b: nameOf(setup.b, models.b.id) },
    order: turned ? ['b', 'a'] : ['a', 'b'],
    blind: setup.blind,
  };
  duel.set({ round, runs: {}, vote: undefined, problem: undefined });
  const run = async (side: SideName) => {
    const show = (now: Run) => {
      if (duel.get().round === round) duel.set(({ runs }) => ({ runs: { ...runs, [side]: now } }));
    };
    let registered: RenderedPrompt | undefined;
    try {
      if (setup[side].registered !== '')
        registered = await renderPrompt(setup[side].registered, inputOf(setup, side), models[side].id);
    } catch (thrown) {
      const started = performance.now();
      return show({
        phase: 'failed',
        units: [],
        tokens: 0,
        started,
        ended: started,
        problem: toProblem(thrown),
      });
    }
    const request = requestOf(setup, side, models[side], registered);
    const about = 'prompt' in request.input ? { prompt: request.input.prompt } : {};
    await runners[side].follow(request, about, show);
  };
  await Promise.all([run('a'), run('b')]);
}

export function stop(): void {
  for (const runner of Object.values(runners)) runner.stop();
}

/** Keeps a vote on the round that is shown. */
export async function vote(winner: SideName | 'tie'): Promise<void> {
  const { round, runs } = duel.get();
  if (round === undefined || runs.a === undefined || runs.b === undefined) return;
  const contender = (side: SideName) => {
    const { registered, template, system, settings } = round.setup[side];
    return {
      name: round.names[side],
      model: round.models[side],
      prompt: registered === '' ? template : `@${registered}`,
      settings: { ...settings, system },
      text: textOf(runs[side] as Run).slice(0, 100_000),
    };
  };
  duel.set({ vote: winner, problem: undefined });
  try {
    const body = { a: contender('a'), b: contender('b'), winner, blind: round.blind };
    const input = inputOf(round.setup, 'a');
    duel.set({ votes: await sendForJson<Votes>('/api/votes', { method: 'POST', body: { ...body, input } }) });
  } catch (thrown) {
    // It can be given again.
    duel.set({ vote: undefined, problem: toProblem(thrown) });
  }
}

export async function refreshVotes(): Promise<void> {
  try {
    duel.set({ votes: await sendForJson<Votes>('/api/votes') });
  } catch {
    // The table is extra; the comparison itself tells when the server is gone.
  }
}

export async function refreshPrompts(): Promise<void> {
  try {
    duel.set({ prompts: await listPrompts() });
  } catch {
    // Only an offer: a prompt can be written by hand.
  }
}

export async function clearVotes(): Promise<void> {
  try {
    duel.set({ votes: await sendForJson<Votes>('/api/votes', { method: 'DELETE' }), problem: undefined });
  } catch (thrown) {
    duel.set({ problem: toProblem(thrown) });
  }
}
