/** Successive halving against an objective that is known, and spaces that cannot be searched. */
import { describe, expect, test } from 'vitest';
import { textPreset } from '../../models/text/presets.ts';
import { byLoss, type HalvingOptions, rungsOf, successiveHalving, type TrialResult } from './halving.ts';
import { drawTrials, readSpace, settingsOf } from './space.ts';

/** A curve that falls to a floor of its own: the trial nearest to x = 0.3 is the best, at every budget. */
const curve = (x: number, steps: number): number => (x - 0.3) ** 2 + 1 / steps;
const places = Array.from({ length: 27 }, (_, trial) => ((trial * 7) % 27) / 27);
const wanted = places.indexOf(8 / 27);

function objective(): Pick<HalvingOptions, 'advance' | 'record'> & { log: TrialResult[]; taken: number } {
  const at = new Map<number, number>();
  const made = {
    log: [] as TrialResult[],
    taken: 0,
    advance: async (trial: number, { steps }: { steps: number }): Promise<number | null> => {
      made.taken += steps - (at.get(trial) ?? 0);
      at.set(trial, steps);
      return curve(places[trial] as number, steps);
    },
    record: async (result: TrialResult): Promise<void> => void made.log.push(result),
  };
  return made;
}

describe('rungs', () => {
  test.each([
    [
      { trials: 27, eta: 3, smallest: 1, largest: 81 },
      [
        [3, 27],
        [9, 9],
        [27, 3],
        [81, 1],
      ],
    ],
    [
      { trials: 27, eta: 3, smallest: 10, largest: 81 },
      [
        [27, 27],
        [81, 9],
      ],
    ],
    [
      { trials: 10, eta: 2, smallest: 1, largest: 100 },
      [
        [13, 10],
        [25, 5],
        [50, 2],
        [100, 1],
      ],
    ],
    [{ trials: 1, eta: 3, smallest: 5, largest: 50 }, [[50, 1]]],
  ])('of %o', (plan, expected) => {
    expect(rungsOf(plan).map(({ steps, trials }) => [steps, trials])).toEqual(expected);
  });
  test('that cannot be are refused', () => {
    expect(() => rungsOf({ trials: 3, eta: 3, smallest: 20, largest: 10 })).toThrow('first rung has 20');
  });
});

describe('successive halving', () => {
  const rungs = rungsOf({ trials: 27, eta: 3, smallest: 1, largest: 81 });

  test('finds the best with a part of the steps, each step taken once', async () => {
    const made = objective();
    const { best, results, state } = await successiveHalving({ rungs, known: [], ...made });
    expect(state).toBe('succeeded');
    expect(best).toEqual({ rung: 3, trial: wanted, steps: 81, loss: curve(places[wanted] as number, 81) });
    expect(results).toEqual(made.log);
    // 27 × 3, 9 × 6 more, 3 × 18 more, 1 × 54 more.
    expect(made.taken).toBe(81 + 54 + 54 + 54);
    // Who went on was among the best third.
    const first = results.filter(({ rung }) => rung === 0).sort(byLoss);
    const second = results.filter(({ rung }) => rung === 1).map(({ trial }) => trial);
    expect(second.sort()).toEqual(
      first
        .slice(0, 9)
        .map(({ trial }) => trial)
        .sort(),
    );
  });

  test('goes on from what is known, wherever it was cut', async () => {
    const whole = objective();
    const expected = await successiveHalving({ rungs, known: [], ...whole });
    for (let cut = 0; cut <= whole.log.length; cut++) {
      const rest = objective();
      const outcome = await successiveHalving({ rungs, known: whole.log.slice(0, cut), ...rest });
      expect(outcome).toEqual(expected);
      expect(rest.log).toEqual(whole.log.slice(cut));
    }
  });

  test('drops what diverged, stops when told, and says so when nothing is left', async () => {
    const made = objective();
    const { best } = await successiveHalving({
      ...{ rungs, known: [], record: made.record },
      advance: (trial, rung) => (trial === wanted ? Promise.resolve(null) : made.advance(trial, rung)),
    });
    expect(best?.trial).not.toBe(wanted);
    expect(made.log.filter(({ trial }) => trial === wanted)).toHaveLength(1);
    let left = 5;
    const stopped = await successiveHalving({
      ...{ rungs, known: [], record: async () => undefined },
      advance: async () => (left-- > 0 ? 1 : undefined),
    });
    expect(stopped).toMatchObject({ state: 'stopped', best: undefined });
    expect(stopped.results).toHaveLength(5);
    await expect(
      successiveHalving({ rungs, known: [], record: async () => undefined, advance: async () => null }),
    ).rejects.toMatchObject({ code: 'search_failed', kind: 'diverged' });
  });
});

describe('spaces', () => {
  const preset = textPreset('tiny');
  const space = readSpace({
    learningRate: { type: 'log-uniform', low: 1e-4, high: 1e-1 },
    batch: { type: 'choice', values: [4, 8] },
    layers: { type: 'integer', low: 1, high: 8, log: true },
    'optimiser.weightDecay': { type: 'uniform', low: 0, high: 0.5 },
  });

  test('draw within their bounds, evenly in the logarithm, the same for a seed', () => {
    const trials = drawTrials(space, preset, 400, 7);
    expect(drawTrials(space, preset, 100, 7)).toEqual(trials.slice(0, 100));
    expect(drawTrials(space, preset, 5, 8)).not.toEqual(trials.slice(0, 5));
    const rates = trials.map(({ learningRate }) => Number(learningRate));
    expect(Math.min(...rates)).toBeGreaterThanOrEqual(1e-4);
    expect(Math.max(...rates)).toBeLessThanOrEqual(1e-1);
    // A third of the decades has a third of the draws: 400 · 1/3 ± 4 deviations.
    const middle = rates.filter((rate) => rate > 1e-3 && rate < 1e-2).length;
    expect(Math.abs(middle - 400 / 3)).toBeLessThan(4 * Math.sqrt((400 * 2) / 9));
    expect(new Set(trials.map(({ layers }) => layers))).toEqual(new Set([1, 2, 3, 4, 5, 6, 7, 8]));
    expect(new Set(trials.map(({ batch }) => batch))).toEqual(new Set([4, 8]));
  });

  test('become settings of the preset', () => {
    const { training, model } = settingsOf(preset, {
      learningRate: 0.01,
      'optimiser.weightDecay': 0.2,
      'schedule.warmup': 3,
      width: 16,
      context: 8,
    });
    expect(training).toEqual({
      learningRate: 0.01,
      optimiser: { name: 'adamw', weightDecay: 0.2 },
      schedule: { name: 'cosine', warmup: 3, floor: 0.1 },
      context: 8,
    });
    expect(model).toEqual({ width: 16, context: 8 });
    expect(settingsOf(preset, { 'optimiser.name': 'sgd', 'optimiser.momentum': 0.5 }).training).toEqual({
      optimiser: { name: 'sgd', momentum: 0.5 },
    });
  });

  test('choose among networks that can be', () => {
    const odd = readSpace({
      width: { type: 'choice', values: [32, 33, 48] },
      heads: { type: 'choice', values: [2, 3] },
    });
    const made = drawTrials(odd, preset, 4, 1);
    for (const { width, heads } of made) expect(Number(width) % Number(heads)).toBe(0);
    expect(() => drawTrials(odd, preset, 5, 1)).toThrow('only 4 settings');
  });

  test.each([
    ['nothing to choose', {}, 'at least one setting'],
    ['an unknown name', { learnRate: { type: 'uniform', low: 0, high: 1 } }, 'learnRate cannot be searched'],
    ['bounds the wrong way round', { dropout: { type: 'uniform', low: 0.5, high: 0.1 } }, 'low must be less'],
    [
      'a logarithm of nothing',
      { learningRate: { type: 'log-uniform', low: 0, high: 1 } },
      'learningRate.low',
    ],
    ['no values', { batch: { type: 'choice', values: [] } }, 'batch.values'],
    ['another type', { batch: { type: 'normal' } }, 'batch.type'],
    [
      'a value no training takes',
      { dropout: { type: 'uniform', low: 0, high: 1.5 } },
      'dropout cannot be 1.5',
    ],
    ['a batch of none', { batch: { type: 'choice', values: [4, 0] } }, 'batch cannot be 0'],
    ['a list', [], 'the space'],
  ])('%s is refused', (_, value, said) => {
    expect(() => readSpace(value)).toThrow(said);
  });
  test.each([
    ['too few settings', { batch: { type: 'choice', values: [4, 8] } }, 3, 'space_too_small'],
    ['no network', { width: { type: 'choice', values: [33] } }, 1, 'space_impossible'],
    ['no optimiser', { 'optimiser.name': { type: 'choice', values: ['adam'] } }, 1, 'space_impossible'],
  ])('%s for the trials', (_, value, count, code) => {
    const read = readSpace(value);
    expect(() => drawTrials(read, preset, count, 1)).toThrow(expect.objectContaining({ code }));
  });
});
