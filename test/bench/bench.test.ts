/**
 * The benchmarks on tiny shapes: the result has the promised form, our losses agree with the float64 oracle,
 * and a side that computes something else is caught. Nothing here depends on time.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { benchDecode, compareTokens } from '../../bench/decode.ts';
import { decodingStepBytes, productFlops, trainingStepFlops } from '../../bench/flops.ts';
import { benchGemm } from '../../bench/gemm.ts';
import { interleave, share, spread } from '../../bench/interleave.ts';
import { corpus, OPTIMISER, SHAPES, writeBatches, writeParameters } from '../../bench/material.ts';
import { readTensors } from '../../bench/ours-parts.ts';
import { openPeers, startNode } from '../../bench/peers.ts';
import { show } from '../../bench/report.ts';
import { benchTrainText, compareLosses, TOLERANCE } from '../../bench/train-text.ts';
import * as host from '../../src/base/host.ts';
import { tensor, viewOf } from '../../src/base/tensor.ts';
import { textParameterCount } from '../../src/models/text/architectures.ts';
import { createTextTrainable } from '../../src/models/text/trainable.ts';
import { trainingConfig } from '../../src/nn/training-config.ts';
import { createBackend } from '../../src/runtime/index.ts';

const quiet = {
  threads: 2,
  install: false,
  installPython: false,
  show: () => undefined,
  note: () => undefined,
};

const resultForm = z.object({
  bench: z.string(),
  commit: z.string().min(1),
  machine: z.object({
    cpu: z.string(),
    cores: z.number(),
    threads: z.number(),
    gemm_peak: z.number().positive().optional(),
  }),
  cases: z
    .array(
      z.object({
        case: z.string(),
        unit: z.string(),
        better: z.enum(['lower', 'higher']),
        ours: z.number().positive(),
        peer: z.number().positive().nullable(),
        peer_name: z.string().nullable(),
        peer_version: z.string().nullable(),
        ratio: z.number().positive().nullable(),
      }),
    )
    .min(1),
});

describe('benchmarks', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await host.makeTemporaryFolder('inkstone-bench-test');
  });
  afterAll(() => host.removeFile(folder));

  it('train-text without peers gives the promised form and claims nothing', async () => {
    const result = await benchTrainText({ ...quiet, shapes: ['tiny'], peers: [], effort: 0.5 });
    expect(resultForm.parse(result).bench).toBe('train-text');
    expect(result.cases).toHaveLength(1);
    expect(result.cases[0]).toMatchObject({ peer: null, peer_name: null, ratio: null });
    expect(show(result)).toContain('tiny');
  });

  it('gemm without a peer that was asked for gives the promised form, names it and claims nothing', async () => {
    vi.stubEnv('INKSTONE_HOME', `${folder}/empty-home`);
    const result = await benchGemm({ ...quiet, peers: ['tfjs'], effort: 0.5 }).finally(vi.unstubAllEnvs);
    const { bench, cases } = resultForm.parse(JSON.parse(JSON.stringify(result)));
    expect(bench).toBe('gemm');
    expect(cases).toMatchObject([
      {
        ...{ case: '64×64×64, TensorFlow.js wasm', peer: null, peer_version: null, ratio: null },
        peer_name: 'TensorFlow.js wasm',
      },
    ]);
    expect(result.cases[0]?.note).toMatch(/not installed.*--no-install/);
  });

  it('decode without peers gives the promised form', async () => {
    const result = await benchDecode({ ...quiet, shapes: ['tiny'], peers: [], effort: 0.5 });
    expect(resultForm.parse(result).bench).toBe('decode');
    expect(result.cases.map((one) => one.case)).toEqual(['tiny, 1 sequence', 'tiny, 3 sequences']);
    expect(result.cases[0]?.share_of_bandwidth).toBeGreaterThan(0);
  });

  it('decoding that gives other tokens is caught', () => {
    expect(() => compareTokens('s', 'p', [1, 2, 3], [1, 2, 3])).not.toThrow();
    expect(() => compareTokens('s', 'p', [1, 2, 3], [1, 2, 4])).toThrow(
      expect.objectContaining({ code: 'tokens_differ' }),
    );
    expect(() => compareTokens('s', 'p', [1, 2], [1, 2, 3])).toThrow();
    expect(() => compareTokens('s', 'p', [], [])).toThrow();
  });

  it('our training losses agree with the float64 oracle', async () => {
    const { model, batch } = SHAPES.tiny;
    const time = model.context;
    const parameters = await writeParameters(folder, model);
    const batches = await writeBatches(folder, await corpus(undefined, 65), { batch, time, count: 4 });
    const ours = startNode('ours', host.entry('bench/ours-entry'), { threads: 2 });
    await ours.ask({
      do: 'prepare',
      name: 'x',
      work: 'train-text',
      model,
      batch,
      time,
      parameters,
      batches,
      optimiser: OPTIMISER,
    });
    const { losses = [] } = await ours.ask({ do: 'run', name: 'x', count: 4 });
    await ours.end();

    const backend = await createBackend('reference');
    const { rate, clip, ...adamw } = OPTIMISER;
    const oracle = await createTextTrainable({
      backend,
      model,
      training: trainingConfig.parse({
        steps: 100,
        batch,
        context: time,
        learningRate: rate,
        optimiser: { name: 'adamw', ...adamw },
        schedule: { name: 'constant', warmup: 0 },
        clip,
      }),
      evaluationBatch: batch,
      parameters: await readTensors(parameters),
    });
    const flat = viewOf('i32', await host.readBytes(batches.file));
    const size = batch * time;
    const wanted: number[] = [];
    for (let step = 0; step < 4; step++) {
      const part = (at: number) => tensor('i32', [batch, time], flat.slice(at, at + size));
      const { loss } = await oracle.step(
        { tokens: part(2 * step * size), targets: part((2 * step + 1) * size) },
        step,
      );
      wanted.push(loss);
    }
    await oracle.close();
    await backend.close();
    expect(compareLosses('tiny', 'the oracle', losses, wanted).largest_difference).toBeLessThan(1e-4);
  });

  it('names a peer that is not there, with the way to get it', async () => {
    vi.stubEnv('INKSTONE_HOME', `${folder}/empty-home`);
    const notes: string[] = [];
    vi.stubEnv('INKSTONE_PYTHON', undefined);
    vi.stubEnv('PATH', `${folder}/no-programs`);
    const { open, absent } = await openPeers(['tfjs', 'jax-js', 'pytorch'], {
      ...quiet,
      note: (text) => notes.push(text),
    });
    vi.unstubAllEnvs();
    expect(open).toEqual([]);
    expect(absent.map(({ id }) => id)).toEqual(['tfjs', 'jax-js', 'pytorch']);
    expect(absent[0]?.install).toContain('--no-install');
    for (const way of ['INKSTONE_PYTHON', '--install-peers', 'apt install python3-torch'])
      expect(absent[2]?.install).toContain(way);
    expect(notes.join('\n')).toContain('TensorFlow.js wasm is absent: not installed');
  });

  it('a participant that dies is reported, with its last words', async () => {
    const script = `${folder}/dies.mjs`;
    await host.writeFile(script, "process.stderr.write('out of luck\\n'); process.exit(3);");
    const peer = startNode('dies', script, { threads: 1 });
    await expect(peer.describe()).rejects.toMatchObject({
      code: 'peer_failed',
      message: expect.stringMatching(/dies ended \(status 3\)/),
    });
    await peer.end();
  });

  it('our side answers an unknown request with an error and goes on', async () => {
    const ours = startNode('ours', host.entry('bench/ours-entry'), { threads: 1 });
    await expect(ours.ask({ do: 'run', name: 'nothing', count: 1 })).rejects.toMatchObject({
      code: 'peer_failed',
    });
    expect((await ours.describe()).name).toBe('Inkstone');
    await ours.end();
  });
});

describe('comparing losses', () => {
  it('accepts what is within the tolerance', () => {
    expect(compareLosses('s', 'p', [4.1, 4.0, 3.9], [4.1, 4.0 + TOLERANCE / 2]).steps).toBe(2);
  });
  it.each([
    ['far apart', [4.1, 4.0], [4.1, 4.2]],
    ['not a number', [4.1, Number.NaN], [4.1, 4.0]],
    ['none to compare', [], [4.1]],
  ])('refuses losses that are %s', (_, ours, theirs) => {
    expect(() => compareLosses('s', 'p', ours, theirs)).toThrow(
      expect.objectContaining({ code: 'losses_differ' }),
    );
  });
});

describe('taking turns', () => {
  const plan = { rounds: 3, runs: 2, budget: 100, warmup: 3, rest: 0 };
  const quietly = { show: () => undefined, failed: () => undefined };

  it('goes round after round and leaves the first run of each turn out', async () => {
    const order: string[] = [];
    const make = (id: string) => ({
      id,
      run: async (count: number) => {
        order.push(id);
        return { seconds: Array.from({ length: count }, (_, i) => (i === 0 ? 99 : 1)), losses: [] };
      },
    });
    const [a, b] = await interleave([make('a'), make('b')], { ...plan, budget: 1000 }, quietly);
    expect(order.slice(4).join('')).toBe('ababab');
    expect(a?.time).toEqual({ median: 1, lower: 1, upper: 1, samples: 6 });
    expect(b?.note).toBeUndefined();
  });

  it('gives a slow participant fewer runs and says so', async () => {
    const slow = {
      id: 'slow',
      run: async (count: number) => ({ seconds: Array(count).fill(60) as number[] }),
    };
    const [found] = await interleave([slow], plan, quietly);
    expect(found?.note).toContain('one run of 60.0 s');
    expect(share(plan, 10)).toEqual({ runs: 2, rounds: 3 });
    expect(share(plan, 20)).toEqual({ runs: 1, rounds: 2 });
    expect(share(plan, 90)).toEqual({ runs: 0, rounds: 0 });
  });

  it('does not take a first run that compiles for the speed', async () => {
    let first = true;
    const compiler = {
      id: 'compiler',
      run: async (count: number) => {
        const seconds = Array.from({ length: count }, () => 1);
        if (first) seconds[0] = 1000;
        first = false;
        return { seconds };
      },
    };
    const [found] = await interleave([compiler], { ...plan, budget: 100 }, quietly);
    expect(found?.time.median).toBe(1);
    expect(found?.note).toBeUndefined();
  });

  it('goes on without a participant that fails', async () => {
    const lost: string[] = [];
    const good = {
      id: 'good',
      run: async (count: number) => ({ seconds: Array(count).fill(1) as number[] }),
    };
    const bad = { id: 'bad', run: () => Promise.reject(new Error('no')) };
    const found = await interleave([good, bad], plan, { ...quietly, failed: (id) => lost.push(id) });
    expect(found.map(({ id }) => id)).toEqual(['good']);
    expect(lost).toEqual(['bad']);
  });

  it('has quartiles between the samples', () => {
    expect(spread([4, 1, 2, 3])).toEqual({ median: 2.5, lower: 1.75, upper: 3.25, samples: 4 });
    expect(spread([7])).toEqual({ median: 7, lower: 7, upper: 7, samples: 1 });
  });
});

describe('counting work', () => {
  it('counts a step as six operations for each weight and token, and attention', () => {
    const { model, batch } = SHAPES['nanogpt-10m'];
    const { layers, width, context, vocabulary } = model;
    const multiplied = textParameterCount(model) - context * width - (2 * layers + 1) * width;
    const attention = 12 * layers * context * width;
    expect(trainingStepFlops(model, batch, context)).toBe(batch * context * (6 * multiplied + attention));
    expect(vocabulary * width + 12 * layers * width ** 2).toBe(multiplied);
  });
  it('counts a product and the bytes of a decoding step', () => {
    expect(productFlops([2, 3, 5])).toBe(60);
    const { model } = SHAPES.tiny;
    const weights = textParameterCount(model) - model.context * model.width;
    expect(decodingStepBytes(model, 3, 7)).toBe(4 * (weights + 2 * model.layers * 3 * 7 * model.width));
  });
});
