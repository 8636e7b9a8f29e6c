/** How `train text` learns, by flags: each reaches the run's settings, wrong ones are refused, and a run keeps them. */
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { textPreset } from '../../../models/text/presets.ts';
import { runMain } from '../../testing.ts';
import { planned, trainTextSchema } from '../../train-text-plan.ts';

let folder: string;
let data: string;
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-flags-'));
  data = path.join(folder, 'data.txt');
  await fs.writeFile(data, 'The reeds bend, the boats come home, the lamps are lit.\n'.repeat(60));
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

const train = (...words: string[]) => runMain(['train', 'text', ...words, '--json']);
const configOf = async (out: string) =>
  JSON.parse(await fs.readFile(path.join(out, 'config.json'), 'utf8')).training;

describe('flags over a preset', () => {
  const plan = async (settings: object) => {
    const { training } = await planned(
      trainTextSchema.parse({ preset: 'tiny', data, ...settings }),
      undefined,
    );
    return training;
  };
  const { optimiser, schedule } = textPreset('tiny').training;

  test('the same optimiser keeps what the preset says of it, another has its own settings', async () => {
    expect(optimiser.name).toBe('adamw');
    expect((await plan({ weightDecay: 0.3 }))?.optimiser).toMatchObject({ ...optimiser, weightDecay: 0.3 });
    expect((await plan({ optimiser: 'muon' }))?.optimiser).toMatchObject({ name: 'muon', momentum: 0.95 });
    expect((await plan({ optimiser: 'sgd' }))?.optimiser).toEqual({
      ...{ name: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 },
    });
    const small = { preset: 'nanogpt-10m', optimiser: textPreset('nanogpt-10m').training.optimiser.name };
    expect((await plan(small))?.optimiser).toMatchObject(textPreset('nanogpt-10m').training.optimiser);
  });

  test('a schedule keeps the preset’s other settings; no flag changes nothing', async () => {
    expect((await plan({ schedule: 'linear' }))?.schedule).toMatchObject({ ...schedule, name: 'linear' });
    expect((await plan({ warmup: 0 }))?.schedule).toMatchObject({ ...schedule, warmup: 0 });
    expect(await plan({ accumulation: 3, ema: 0.5 })).toEqual({ accumulation: 3, ema: 0.5 });
    expect(await plan({})).toEqual({});
  });
});

test('a run with stochastic descent, accumulation and an average learns so, and goes on so', async () => {
  const out = path.join(folder, 'run');
  const common = [
    '--preset',
    'tiny',
    '--data',
    data,
    '--batch',
    '2',
    '--steps',
    '4',
    '--learning-rate',
    '0.1',
  ];
  const course = ['--schedule', 'constant', '--warmup', '2'];
  const flags = ['--optimiser', 'sgd', '--weight-decay', '0.05', ...course, '--accumulation', '2'];
  const first = await train(...common, ...flags, '--ema', '0.9', '--out', out);
  expect(first.status).toBe(0);
  expect(await configOf(out)).toMatchObject({
    optimiser: { name: 'sgd', momentum: 0.9, weightDecay: 0.05 },
    schedule: { name: 'constant', warmup: 2 },
    ...{ accumulation: 2, ema: 0.9, batch: 2, learningRate: 0.1 },
  });
  // The average lags behind the parameters, and it is what is scored.
  const plain = await train(...common, ...flags, '--out', path.join(folder, 'plain'));
  expect(plain.json.val_loss).toBeLessThan(Number(first.json.val_loss));
  expect(Number(plain.json.val_loss)).toBeLessThan(Math.log(40));

  const again = await train('--resume', '--out', out);
  expect([again.status, again.json.val_loss]).toEqual([0, first.json.val_loss]);
  const other = await train('--resume', '--out', out, '--ema', '0.5', '--optimiser', 'muon');
  expect([other.status, other.error.code]).toEqual([5, 'config_differs']);
  expect(other.error.message).toMatch(/optimiser.*ema|ema.*optimiser/);
});

test.each([
  ['--optimiser', 'adam', /adamw/],
  ['--schedule', 'step', /cosine/],
  ['--warmup', '-1', /warmup/],
  ['--weight-decay', '-0.1', /weight-decay/],
  ['--accumulation', '0', /accumulation/],
  ['--ema', '1', /ema/],
])('%s %s is refused, and told how it may be', async (flag, value, said) => {
  const { status, error } = await train('--preset', 'tiny', '--data', data, flag, value);
  expect([status, error.code]).toEqual([2, 'invalid_input']);
  expect(`${error.message} ${error.hint ?? ''}`).toMatch(said);
});

test('--help names them', async () => {
  const { out } = await runMain(['train', 'text', '--help']);
  for (const flag of ['--optimiser', '--schedule', '--warmup', '--weight-decay', '--accumulation', '--ema'])
    expect(out).toContain(flag);
});
