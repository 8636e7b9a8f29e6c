/** The trainer's own duties, with a trainable that only counts: time, files, early ends, failures. */
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Trainable } from '../base/contracts/trainable.ts';
import { type HostTensor, type HostTensors, tensor } from '../base/tensor.ts';
import { writeSafetensors } from '../formats/safetensors.ts';
import { trainingConfig } from '../nn/training-config.ts';
import { onlyNamed, RunFolder } from './run-folder.ts';
import { type TrainerOptions, train } from './trainer.ts';

const disk = vi.hoisted(() => ({ free: undefined as number | undefined }));
vi.mock('../base/host.ts', async (original) => {
  const host = await original<typeof import('../base/host.ts')>();
  return { ...host, freeSpace: async (folder: string) => disk.free ?? host.freeSpace(folder) };
});

let folder: RunFolder;
beforeEach(async () => {
  folder = new RunFolder(await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-trainer-')));
  await folder.open();
  disk.free = undefined;
});
afterEach(() => fs.rm(folder.path, { recursive: true, force: true }));

/** One number that grows by the batch's number; the loss is made up by the test. */
class Counter implements Trainable {
  value = 0;
  private readonly lossAt: (step: number) => number;
  constructor(lossAt: (step: number) => number = () => 1) {
    this.lossAt = lossAt;
  }
  async state(): Promise<HostTensors> {
    return { value: tensor('f32', [1], [this.value]), moment: tensor('f32', [1], [this.value * 2]) };
  }
  async restore(state: HostTensors): Promise<void> {
    this.value = Number((state.value as HostTensor).data[0]);
  }
  async parameters(): Promise<HostTensors> {
    return onlyNamed(await this.state(), ['value']);
  }
  async step(batch: HostTensors, step: number): Promise<{ loss: number; gradientNorm: number }> {
    const loss = this.lossAt(step);
    if (Number.isFinite(loss)) this.value += Number((batch.x as HostTensor).data[0]);
    return { loss, gradientNorm: 1 };
  }
  async evaluate(): Promise<{ total: number; count: number }> {
    return { total: 1, count: 1 };
  }
  async close(): Promise<void> {}
}

function run(
  trainable: Counter,
  evaluate: () => number,
  settings: object = {},
  more: Partial<TrainerOptions> = {},
): ReturnType<typeof train> {
  const config = trainingConfig.parse({
    steps: 20,
    batch: 1,
    context: 1,
    learningRate: 1,
    optimiser: { name: 'sgd' },
    schedule: {},
    evaluateEvery: 5,
    checkpointEvery: 4,
    sampleEvery: 10,
    ...settings,
  });
  return train({
    folder,
    trainable,
    config,
    batch: async (step) => ({ x: tensor('f32', [1], [step]) }),
    evaluate: async () => evaluate(),
    sample: async () => `at ${trainable.value}`,
    tokensPerStep: 1,
    resume: false,
    ...more,
  });
}

const metrics = async (): Promise<Record<string, unknown>[]> =>
  (await fs.readFile(folder.file('metrics.jsonl'), 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('train', () => {
  test('the best of a model that was not whole yet gives way to the next one that is judged, and to no other', async () => {
    const scores = [3, 1, 9, 5, 7];
    const outcome = await run(
      new Counter(),
      () => scores.shift() as number,
      { steps: 25 },
      { wholeAfter: 10 },
    );
    expect(outcome).toMatchObject({ bestStep: 20, bestValidationLoss: 5 });
    const lines = (await fs.readFile(folder.file('metrics.jsonl'), 'utf8')).split('\n');
    const best = lines
      .filter((line) => line.includes('"evaluate"'))
      .map((line) => JSON.parse(line).best_val_loss);
    expect(best).toEqual([3, 1, 9, 5, 5]);
  });

  test('pauses where it is told, judged and saved, and goes on from there', async () => {
    const [parts, whole] = [new Counter(), new Counter()];
    const first = await run(parts, () => 3, {}, { until: 7 });
    expect(first).toMatchObject({ state: 'stopped', early: 'until', steps: 7, validationLoss: 3 });
    expect(await folder.readCheckpoint('last')).toMatchObject({ step: 7, record: { lastLoss: 3 } });
    // Asked for the same place again it does nothing.
    const again = await run(new Counter(), () => 99, {}, { until: 7, resume: true });
    expect(again).toMatchObject({ early: 'until', steps: 7, validationLoss: 3 });
    const end = await run(parts, () => 2, {}, { until: 20, resume: true });
    expect(end).toMatchObject({ state: 'succeeded', steps: 20, validationLoss: 2 });
    await run(whole, () => 2);
    expect(parts.value).toBe(whole.value);
  });

  test('keeps the last and the best, and says when what happened', async () => {
    const losses = [3, 1, 2, 1.5];
    const outcome = await run(new Counter(), () => losses.shift() as number);
    expect(outcome).toMatchObject({
      state: 'succeeded',
      steps: 20,
      validationLoss: 1.5,
      bestValidationLoss: 1,
      bestStep: 10,
    });
    const best = await folder.readCheckpoint('best');
    const last = await folder.readCheckpoint('last');
    expect(best?.step).toBe(10);
    expect(Object.keys(best?.tensors ?? {})).toEqual(['value']);
    expect(last).toMatchObject({ step: 20, record: { bestLoss: 1, bestStep: 10, stale: 2, lastLoss: 1.5 } });
    expect(Object.keys(last?.tensors ?? {})).toEqual(['moment', 'value']);
    expect(
      (await metrics()).filter((line) => line.type !== 'train').map(({ type, step }) => [type, step]),
    ).toEqual([
      ['evaluate', 5],
      ['evaluate', 10],
      ['sample', 10],
      ['evaluate', 15],
      ['evaluate', 20],
      ['sample', 20],
      ['state', 20],
    ]);
    expect(await folder.lastSample()).toBe('at 190');
  });

  test('patience ends a run that no longer gets better', async () => {
    const losses = [3, 2, 2.5, 2.6, 1];
    const outcome = await run(new Counter(), () => losses.shift() as number, { steps: 100, patience: 2 });
    expect(outcome).toMatchObject({
      state: 'succeeded',
      early: 'patience',
      steps: 20,
      bestStep: 10,
      validationLoss: 2.6,
    });
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'a loss of %s stops the run and keeps the checkpoint',
    async (bad) => {
      const trainable = new Counter((step) => (step === 10 ? bad : 1));
      await expect(run(trainable, () => 1)).rejects.toMatchObject({
        code: 'loss_not_finite',
        exitStatus: 8,
        hint: expect.stringMatching(/--learning-rate.*step 10/),
      });
      expect((await folder.readCheckpoint('last'))?.step).toBe(10);
      expect((await metrics()).at(-1)).toMatchObject({ type: 'state', state: 'failed', step: 10 });
    },
  );

  test('a gradient that is not finite is told as such', async () => {
    const trainable = new Counter();
    trainable.step = async () => ({ loss: 2, gradientNorm: Number.POSITIVE_INFINITY });
    await expect(run(trainable, () => 1)).rejects.toMatchObject({
      code: 'loss_not_finite',
      message: expect.stringContaining("gradient's norm became Infinity"),
      hint: expect.stringContaining('no checkpoint yet'),
    });
  });

  test('a validation loss that is not a number stops the run; last and best stay what they were', async () => {
    const losses = [3, Number.NaN];
    await expect(run(new Counter(), () => losses.shift() as number)).rejects.toMatchObject({
      code: 'loss_not_finite',
      exitStatus: 8,
      message: expect.stringContaining('validation loss became NaN at step 10'),
      hint: expect.stringMatching(/step 8.*--from/),
    });
    expect((await folder.readCheckpoint('last'))?.step).toBe(8);
    expect((await folder.readCheckpoint('best'))?.step).toBe(5);
  });

  test('weights that are not finite never replace a good checkpoint', async () => {
    const trainable: Counter = new Counter((step) => {
      // The loss is still finite: it is of the weights before the step.
      if (step === 7) trainable.value = Number.NaN;
      return 1;
    });
    await expect(run(trainable, () => 1)).rejects.toMatchObject({
      code: 'loss_not_finite',
      message: expect.stringMatching(/"value".*after step 8/),
    });
    expect((await folder.readCheckpoint('last'))?.step).toBe(5);
    expect((await metrics()).at(-1)).toMatchObject({ state: 'failed', error: 'loss_not_finite' });
  });

  test('a full disk stops the run; the checkpoint before is whole and the run can go on', async () => {
    const trainable = new Counter((step) => {
      if (step === 9) disk.free = 10;
      return 1;
    });
    await expect(run(trainable, () => 1)).rejects.toMatchObject({
      code: 'disk_full',
      exitStatus: 6,
      hint: expect.stringContaining('--resume'),
    });
    expect((await folder.readCheckpoint('last'))?.step).toBe(8);
    expect((await fs.readdir(folder.file('checkpoints'))).filter((name) => name.includes('tmp'))).toEqual([]);
    expect((await metrics()).at(-1)).toMatchObject({ type: 'state', state: 'failed', error: 'disk_full' });
    disk.free = undefined;
    const resumed = new Counter();
    const outcome = await run(resumed, () => 1, {}, { resume: true });
    expect(outcome.steps).toBe(20);
    expect(resumed.value).toBe(190);
  });

  test('a signal ends after the step, without an evaluation of its own', async () => {
    const controller = new AbortController();
    const trainable = new Counter((step) => {
      if (step === 6) controller.abort();
      return 1;
    });
    const losses = [3];
    const outcome = await run(trainable, () => losses.shift() as number, {}, { signal: controller.signal });
    expect(outcome).toMatchObject({
      state: 'stopped',
      early: 'signal',
      steps: 7,
      validationLoss: 3,
      bestStep: 5,
    });
    expect((await folder.readCheckpoint('last'))?.step).toBe(7);
    expect((await folder.readCheckpoint('best'))?.step).toBe(5);
    expect((await metrics()).at(-1)).toMatchObject({ state: 'stopped' });
    await run(new Counter(), () => 2, {}, { resume: true });
    expect((await metrics()).filter((line) => line.type === 'state')).toHaveLength(1);
  });

  test.each([10, 20])('an evaluation that a signal interrupts at step %i is made up for', async (at) => {
    const lossOf = (step: number): number => 30 - step;
    const steps = { value: 0 };
    const counted = (): Counter =>
      new Counter((step) => {
        steps.value = step + 1;
        return 1;
      });
    await run(counted(), () => lossOf(steps.value));
    const expected = {
      metrics: await metrics(),
      last: await folder.readCheckpoint('last'),
      best: await folder.readCheckpoint('best'),
    };
    await folder.clear();

    const controller = new AbortController();
    const interrupted = await run(
      counted(),
      () => {
        if (steps.value === at) {
          controller.abort();
          controller.signal.throwIfAborted();
        }
        return lossOf(steps.value);
      },
      {},
      { signal: controller.signal },
    );
    expect(interrupted).toMatchObject({ state: 'stopped', steps: at, validationLoss: lossOf(at - 5) });
    expect((await folder.readCheckpoint('last'))?.record.due).toBe(true);
    expect(await run(counted(), () => lossOf(steps.value), {}, { resume: true })).toMatchObject({
      state: 'succeeded',
      steps: 20,
    });
    const plain = (lines: Record<string, unknown>[]): unknown[] =>
      lines.map(({ seconds, tokens_per_second, remaining, ...rest }) => rest);
    expect(plain(await metrics())).toEqual(plain(expected.metrics));
    expect(await folder.readCheckpoint('last')).toEqual(expected.last);
    expect(await folder.readCheckpoint('best')).toEqual(expected.best);
  });

  test('a finished run that is resumed takes no step and keeps its record', async () => {
    const first = await run(new Counter(), () => 1);
    const again = await run(new Counter(), () => 9, {}, { resume: true });
    expect(again).toMatchObject({ state: 'succeeded', steps: 20, validationLoss: 1, bestStep: 5 });
    expect(first.tokensPerSecond).toBeGreaterThan(0);
    const written = (await metrics()).filter((line) => line.type === 'train').at(-1)?.tokens_per_second;
    expect(again.tokensPerSecond).toBe(written);
  });

  test('progress never goes back and ends at the last step', async () => {
    const seen: number[] = [];
    await run(new Counter(), () => 1, {}, { report: ({ step, steps }) => void seen.push(step / steps) });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(1);
  });
});

describe('run folder', () => {
  test('metrics are cut back to a step, past a line that was cut short', async () => {
    const line = (step: number): string => `{"type":"train","step":${step},"seconds":${step}}\n`;
    await fs.writeFile(folder.file('metrics.jsonl'), `${line(1)}${line(2)}${line(3)}${line(4)}{"type":"tra`);
    expect(await folder.rewindMetrics(3)).toEqual({ seconds: 3, tokensPerSecond: 0 });
    expect(await fs.readFile(folder.file('metrics.jsonl'), 'utf8')).toBe(line(1) + line(2) + line(3));
    expect(await folder.rewindMetrics(-1)).toEqual({ seconds: 0, tokensPerSecond: 0 });
    expect(await fs.readFile(folder.file('metrics.jsonl'), 'utf8')).toBe('');
  });

  test('a lock that a dead process left is taken over, a living one is respected', async () => {
    await fs.writeFile(folder.file('lock'), '999999999');
    const unlock = await folder.lock();
    expect(await fs.readFile(folder.file('lock'), 'utf8')).toBe(String(process.pid));
    await unlock();
    await expect(fs.access(folder.file('lock'))).rejects.toThrow();
    await fs.writeFile(folder.file('lock'), String(process.ppid));
    await expect(folder.lock()).rejects.toMatchObject({ code: 'run_locked', exitStatus: 5 });
    await fs.writeFile(folder.file('lock'), '');
    await (await folder.lock())();
  });

  test('a lock is held against this very process, and is its own file’s alone', async () => {
    // A file with this process's id that it does not hold: a dead namesake's, as in a container started again.
    await fs.writeFile(folder.file('lock'), String(process.pid));
    const unlock = await folder.lock();
    await expect(folder.lock()).rejects.toMatchObject({ code: 'run_locked' });
    await expect(new RunFolder(`${folder.path}/`).lock()).rejects.toMatchObject({ code: 'run_locked' });
    expect(await fs.readFile(folder.file('lock'), 'utf8')).toBe(String(process.pid));
    await unlock();
    await (await folder.lock())();
    expect((await fs.readdir(folder.path)).filter((name) => name.startsWith('lock'))).toEqual([]);
  });

  test('the lock’s taker removes what a kill left half written, and nothing else', async () => {
    await fs.mkdir(folder.file('data'));
    const left = ['config.json.12.1.tmp', 'checkpoints/last.safetensors.12.3.tmp', 'data/tokens.bin.7.1.tmp'];
    const kept = ['notes.tmp', 'checkpoints/last.safetensors', 'data/tokens.bin'];
    for (const name of [...left, ...kept]) await fs.writeFile(folder.file(name), 'x');
    await (await folder.lock())();
    for (const name of left) expect(await fs.access(folder.file(name)).catch(() => 'gone')).toBe('gone');
    for (const name of kept) expect(await fs.readFile(folder.file(name), 'utf8')).toBe('x');
  });

  test('a damaged checkpoint or configuration is named, not guessed around', async () => {
    const named = (name: string): object => ({
      code: 'run_corrupt',
      exitStatus: 3,
      message: expect.stringContaining(name),
      hint: expect.stringContaining('--force'),
    });
    await folder.writeCheckpoint('last', {
      step: 3,
      tensors: { x: tensor('f32', [1], [1]) },
      record: { stale: 0 },
    });
    const file = folder.file('checkpoints/last.safetensors');
    const whole = await fs.readFile(file);
    await fs.writeFile(file, whole.subarray(0, -1));
    await expect(folder.readCheckpoint('last')).rejects.toMatchObject(named('last.safetensors'));
    await fs.writeFile(file, writeSafetensors({ x: tensor('f32', [1], [1]) }));
    await expect(folder.readCheckpoint('last')).rejects.toMatchObject(named('last.safetensors'));
    await fs.writeFile(folder.file('config.json'), '{');
    await expect(folder.readJson('config.json')).rejects.toMatchObject(named('config.json'));
    expect(await folder.readCheckpoint('best')).toBeUndefined();
  });

  test('clear forgets the run but not the prepared data', async () => {
    await fs.mkdir(folder.file('data'));
    await folder.writeJson('config.json', {});
    await fs.writeFile(folder.file('checkpoints/last.safetensors'), 'x');
    await folder.clear();
    expect((await fs.readdir(folder.path)).sort()).toEqual(['checkpoints', 'data']);
    expect(await fs.readdir(folder.file('checkpoints'))).toEqual([]);
    expect(await folder.has('last')).toBe(false);
    expect(await folder.lastSample()).toBeUndefined();
  });
});
