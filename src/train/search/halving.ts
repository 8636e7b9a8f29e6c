/**
 * Successive halving (Jamieson and Talwalkar 2016; Li et al. 2018, algorithm 1 for one bracket): many trials with few
 * steps, the better part of them with more, and so on; every trial goes on from where it paused. Knows neither
 * trainings nor files: what a trial is, and where results are kept, is handed in.
 */
import { InkstoneError } from '../../base/errors.ts';

export interface HalvingPlan {
  trials: number;
  /** Of how many trials one goes on. */
  eta: number;
  /** Steps of the first rung at least, and of the last rung. */
  smallest: number;
  largest: number;
}

export interface Rung {
  /** Steps that a trial has taken, those of earlier rungs among them. */
  steps: number;
  trials: number;
}

/** A trial at a rung. `loss` is null for one that diverged. */
export interface TrialResult {
  rung: number;
  trial: number;
  steps: number;
  loss: number | null;
}

/**
 * As many rungs as the number of trials and the smallest budget allow; the last has the largest.
 * @throws InkstoneError `plan_impossible`
 */
export function rungsOf({ trials, eta, smallest, largest }: HalvingPlan): Rung[] {
  if (smallest > largest)
    throw new InkstoneError('plan_impossible', `the first rung has ${smallest} steps, the last ${largest}`, {
      kind: 'usage',
      hint: 'give more steps to the last rung (--steps) or fewer to the first (--smallest)',
    });
  let rungs = 1;
  while (eta ** rungs <= trials && largest / eta ** rungs >= smallest) rungs++;
  return Array.from({ length: rungs }, (_, i) => ({
    steps: Math.max(1, Math.round(largest / eta ** (rungs - 1 - i))),
    trials: Math.max(1, Math.floor(trials / eta ** i)),
  }));
}

export interface HalvingOptions {
  rungs: readonly Rung[];
  /** Trials are 0 … count − 1; what is known of them already, in any order. */
  known: readonly TrialResult[];
  /**
   * Takes a trial to so many steps and judges it; undefined where it was interrupted. Less is better; null for a trial
   * without a future.
   */
  advance(trial: number, rung: Rung): Promise<number | null | undefined>;
  /** Keeps a result before the next trial begins. */
  record(result: TrialResult): Promise<void>;
}

export interface HalvingOutcome {
  state: 'succeeded' | 'stopped';
  results: TrialResult[];
  /** The best of the last rung; undefined before there is one. */
  best: TrialResult | undefined;
}

/** The less the better; of equals the earlier trial. */
export const byLoss = (a: TrialResult, b: TrialResult): number =>
  (a.loss ?? Number.POSITIVE_INFINITY) - (b.loss ?? Number.POSITIVE_INFINITY) || a.trial - b.trial;

/** @throws InkstoneError `search_failed` where no trial has a future */
export async function successiveHalving(options: HalvingOptions): Promise<HalvingOutcome> {
  const { rungs } = options;
  const results: TrialResult[] = [];
  let alive = Array.from({ length: rungs[0]?.trials ?? 0 }, (_, trial) => trial);
  for (const [number, rung] of rungs.entries()) {
    const here: TrialResult[] = [];
    for (const trial of alive.slice(0, rung.trials)) {
      let result = options.known.find((one) => one.rung === number && one.trial === trial);
      if (result === undefined) {
        const loss = await options.advance(trial, rung);
        if (loss === undefined) return { state: 'stopped', results: [...results, ...here], best: undefined };
        result = { rung: number, trial, steps: rung.steps, loss };
        await options.record(result);
      }
      here.push(result);
    }
    results.push(...here);
    const good = here.filter(({ loss }) => loss !== null).sort(byLoss);
    if (good.length === 0)
      throw new InkstoneError('search_failed', `all ${here.length} trials of rung ${number + 1} diverged`, {
        kind: 'diverged',
        hint: 'lower the learning rates of the space',
      });
    alive = good.map(({ trial }) => trial);
    if (number === rungs.length - 1) return { state: 'succeeded', results, best: good[0] };
  }
  throw new InkstoneError('plan_impossible', 'a search needs a rung', { kind: 'usage' });
}
