/** The start of a small BERT: heads that find the same word, and a mean that tells how much two passages share. */
import { afterAll, expect, test } from 'vitest';
import { Random } from '../../base/rng.ts';
import { type HostTensor, type HostTensors, tensor } from '../../base/tensor.ts';
import { initialise, parameterTypes } from '../../nn/parameters.ts';
import { matmul, mean, swapAxes, type Tensor, trace } from '../../program/index.ts';
import { createBackend } from '../../runtime/index.ts';
import { type BertConfig, bertConfig, bertHidden, bertParameters } from './bert.ts';
import { startBert } from './bert-start.ts';

const backend = await createBackend('cpu', { threads: 1 });
afterAll(() => backend.close());

const [time, vocabulary] = [66, 300];
const configOf = (matching: number): BertConfig =>
  bertConfig.parse({
    ...{
      architecture: 'bert',
      layers: 1,
      heads: 4,
      width: 128,
      hidden: 64,
      context: time,
      vocabulary,
      matching,
    },
  });

test('without such heads everything starts as the parameters say', () => {
  const config = configOf(0);
  expect(startBert(config, 3)).toEqual(initialise(bertParameters(config), 3));
});

test('the same seed gives the same start, another gives another', () => {
  const [a, b, c] = [startBert(configOf(2), 1), startBert(configOf(2), 1), startBert(configOf(2), 2)];
  const name = 'bert.encoder.layer.0.attention.self.query.weight';
  expect(a).toEqual(b);
  expect(a[name]).not.toEqual(c[name]);
});

test('more matching heads than heads are refused', () => {
  expect(() => configOf(5)).toThrow(/matching must not exceed heads/);
});

/** Sixty-four rows of two passages that share `shared` of 32 words. */
function passages(shared: (row: number) => number): HostTensors {
  const rows = 64;
  const tokens = new Int32Array(rows * time);
  for (let row = 0; row < rows; row++) {
    const random = new Random(1, 'passages', row);
    const words = Array.from({ length: vocabulary - 5 }, (_, i) => ({ word: i + 5, draw: random.uniform() }))
      .sort((a, b) => a.draw - b.draw)
      .map(({ word }) => word);
    const first = words.slice(0, 32);
    const second = [...first.slice(0, shared(row)), ...words.slice(32, 64 - shared(row))];
    tokens.set([2, ...first, 3, ...second], row * time);
  }
  const segments = Int32Array.from({ length: rows * time }, (_, i) => (i % time > 33 ? 1 : 0));
  return {
    tokens: tensor('i32', [rows, time], tokens),
    segments: tensor('i32', [rows, time], segments),
    length: tensor('i32', [rows], new Int32Array(rows).fill(time)),
  };
}

/** How well the line between the two kinds' means parts them, in the mean of the tokens after the first layer. */
async function parted(config: BertConfig): Promise<number> {
  const i32 = (...shape: number[]) => ({ dtype: 'i32' as const, shape });
  const program = trace(
    'mean_of_tokens',
    {
      ...parameterTypes(bertParameters(config)),
      tokens: i32(64, time),
      segments: i32(64, time),
      length: i32(64),
    },
    (x) => ({
      pooled: mean(
        bertHidden(config, x, {
          tokens: x.tokens as Tensor,
          segments: x.segments as Tensor,
          length: x.length as Tensor,
        }),
        { axes: [1] },
      ),
    }),
  );
  const compiled = await backend.compile(program, { constants: startBert(config, 1) });
  const { pooled } = await compiled.run({ inputs: passages((row) => (row % 2) * 24), fetch: ['pooled'] });
  await compiled.free();
  const values = (pooled as HostTensor<'f32'>).data;
  const { width } = config;
  const centre = (kind: number): number[] =>
    Array.from({ length: width }, (_, i) => {
      let sum = 0;
      for (let row = kind; row < 32; row += 2) sum += values[row * width + i] as number;
      return sum / 16;
    });
  const [apart, alike] = [centre(0), centre(1)];
  let right = 0;
  for (let row = 32; row < 64; row++) {
    let side = 0;
    for (let i = 0; i < width; i++) {
      const [a, b] = [apart[i] as number, alike[i] as number];
      side += ((values[row * width + i] as number) - (a + b) / 2) * (b - a);
    }
    if (side > 0 === (row % 2 === 1)) right++;
  }
  return right / 32;
}

test('with them the mean of the tokens tells passages that share three quarters of their words from those that share none', async () => {
  expect(await parted(configOf(2))).toBeGreaterThan(0.9);
  expect(await parted(configOf(0))).toBeLessThan(0.8);
});

test('the other heads look at the token before and the token behind', async () => {
  const config = configOf(2);
  const i32 = (...shape: number[]) => ({ dtype: 'i32' as const, shape });
  const inputs = { tokens: i32(64, time), segments: i32(64, time), length: i32(64) };
  const program = trace('looks', { ...parameterTypes(bertParameters(config)), ...inputs }, (x) => {
    const found: Record<string, Tensor> = {};
    bertHidden(
      config,
      x,
      { tokens: x.tokens as Tensor, segments: x.segments as Tensor, length: x.length as Tensor },
      undefined,
      (_, q, k) => Object.assign(found, { scores: matmul(q, swapAxes(k)) }),
    );
    return found;
  });
  const compiled = await backend.compile(program, { constants: startBert(config, 1) });
  const { scores } = await compiled.run({ inputs: passages(() => 16), fetch: ['scores'] });
  await compiled.free();
  const { data } = scores as HostTensor<'f32'>;
  const best = (row: number, head: number, place: number): number => {
    const at = ((row * config.heads + head) * time + place) * time;
    const looks = data.subarray(at, at + time);
    return looks.indexOf(Math.max(...looks));
  };
  const places = Array.from({ length: time - 2 }, (_, i) => i + 1);
  expect(places.map((place) => best(0, 2, place))).toEqual(places.map((place) => place - 1));
  expect(places.map((place) => best(5, 3, place))).toEqual(places.map((place) => place + 1));
  // A shared word is looked for in the second passage by the first head, in the first one by the second.
  const shared = Array.from({ length: 16 }, (_, i) => i + 1);
  expect(shared.map((place) => best(3, 0, place))).toEqual(shared.map((place) => place + 33));
  expect(shared.map((place) => best(3, 1, place + 33))).toEqual(shared);
});
