/** Sampling against the papers' equations, with a network whose predictions are known. */
import { describe, expect, it } from 'vitest';
import { type HostTensor, tensor } from '../../base/tensor.ts';
import { type DiffusionConfig, diffusionConfig } from '../../models/image/diffusion.ts';
import type { Backend, RunCall } from '../../runtime/contract.ts';
import { DiffusionMaker, type MakeByDenoising } from './diffusion.ts';

const STEPS = 20;
const SIDE = 16;
const PLACE = SIDE * SIDE;
const CLASSES = 2;
const seeds = Array.from({ length: 16 }, (_, i) => i);

/** ᾱ of the cosine schedule (Nichol and Dhariwal 2021, equation 17), each β at most 0.999; ᾱ before the first step is 1. */
const kept: number[] = [1];
for (let t = 1; t <= STEPS; t++) {
  const at = (step: number) => Math.cos(((step / STEPS + 0.008) / 1.008) * (Math.PI / 2)) ** 2;
  const beta = Math.min(0.999, 1 - at(t) / at(t - 1));
  kept.push((kept[t - 1] as number) * (1 - beta));
}
/** ᾱ at the network's time, which begins with 0. */
const alpha = (time: number): number => kept[time + 1] as number;

interface Call {
  x: Float32Array;
  time: number;
  label: number;
}
type Network = (call: Call) => (value: number) => number;

/** A maker whose network gives what it is told for each value of x; and what it was asked. */
function makerOf(prediction: DiffusionConfig['prediction'], network: Network) {
  const config = diffusionConfig.parse({
    ...{ architecture: 'ddpm', size: SIDE, channels: 1, width: 4, widest: 8 },
    ...{ classes: CLASSES, steps: STEPS, schedule: 'cosine', prediction },
  });
  const calls: Call[] = [];
  const run = async ({ inputs }: RunCall) => {
    const { images, times, labels } = inputs as Record<string, HostTensor<'f32'>>;
    const call = {
      x: Float32Array.from(images?.data ?? []),
      time: Number(times?.data[0]),
      label: Number(labels?.data[0]),
    };
    calls.push(call);
    return { prediction: tensor('f32', images?.shape ?? [], call.x.map(network(call))) };
  };
  const backend = { compile: async () => ({ run, free: async () => undefined }) } as unknown as Backend;
  return { calls, maker: new DiffusionMaker({ backend, config, parameters: {} }) };
}

/** A network that sees the picture `value` everywhere, whatever x is. */
const sees =
  (value: number): Network =>
  ({ time }) => {
    const a = Math.sqrt(alpha(time));
    const b = Math.sqrt(1 - alpha(time));
    return (x) => (a * x - value) / b;
  };
const PICTURE = 0.3;

const moments = (values: readonly number[]): { mean: number; variance: number } => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return { mean, variance: values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length };
};

describe('guidance', () => {
  const predictions = [0.2, 0.5, -0.1];
  const constant: Network =
    ({ label }) =>
    () =>
      predictions[label] as number;

  it.each([
    ['noise', 3, 1],
    ['v', 3, 1],
    ['noise', 0.5, 0],
    ['v', 0.5, 0],
    ['noise', 1, 1],
    ['v', 1, 1],
    ['noise', 0, 1],
    ['v', 0, 1],
  ] as const)('of a network that predicts %s, %f towards class %i', async (prediction, guidance, label) => {
    const { calls, maker } = makerOf(prediction, constant);
    // From a grey picture with little noise, in one step: nothing is cut off.
    const from = new Float32Array(PLACE);
    const made = await maker.make({ seeds: [1], labels: [label], from, strength: 0.25, steps: 1, guidance });
    const asked = guidance === 0 ? [CLASSES] : guidance === 1 ? [label] : [label, CLASSES];
    expect(calls.map((call) => call.label)).toEqual(asked);
    const { x, time } = calls[0] as Call;
    expect(time).toBe(4);
    // (1 − g) · without the class + g · with it (Ho and Salimans 2022).
    const found =
      (1 - guidance) * (predictions[CLASSES] as number) + guidance * (predictions[label] as number);
    const [a, b] = [Math.sqrt(alpha(time)), Math.sqrt(1 - alpha(time))];
    const wanted = x.map((value) => (prediction === 'v' ? a * value - b * found : (value - b * found) / a));
    made.pixels.forEach((pixel, i) => {
      const value = Math.min(1, Math.max(-1, wanted[i] as number));
      expect(Math.abs(pixel - 127.5 * (value + 1))).toBeLessThan(0.51);
    });
    expect(new Set(made.pixels).size).toBeGreaterThan(20);
  });
});

describe('fresh noise', () => {
  const trace = async (more: Partial<MakeByDenoising>) => {
    const { calls, maker } = makerOf('v', sees(PICTURE));
    const made = await maker.make({ seeds, ...more });
    return { calls, made };
  };
  /** x at a call, beside x at the call before. */
  const steps = (calls: readonly Call[]) =>
    calls
      .slice(1)
      .map((to, i) => ({ from: calls[i] as Call, to, a: alpha((calls[i] as Call).time), c: alpha(to.time) }));

  it('is none at η = 0: each step is where the same noise belongs, every time the same', async () => {
    const { calls, made } = await trace({ steps: 5, eta: 0 });
    expect(calls.map(({ time }) => time)).toEqual([19, 15, 11, 7, 3]);
    for (const { from, to, a, c } of steps(calls)) {
      // Equation 12 with σ = 0 (Song et al. 2021).
      const wanted = from.x.map((x) => {
        const noise = (x - Math.sqrt(a) * PICTURE) / Math.sqrt(1 - a);
        return Math.sqrt(c) * PICTURE + Math.sqrt(1 - c) * noise;
      });
      to.x.forEach((x, i) => expect(Math.abs(x - (wanted[i] as number))).toBeLessThan(1e-3));
    }
    const again = await trace({ steps: 5 });
    expect(again.calls).toEqual(calls);
    expect(again.made.pixels).toEqual(made.pixels);
    const noisy = await trace({ steps: 5, eta: 0.01 });
    expect(noisy.calls[1]?.x).not.toEqual(calls[1]?.x);
  });

  it.each([0.5, 1])(
    'has the deviation of equation 16 at η = %f, however many steps are left out',
    async (eta) => {
      const { calls } = await trace({ steps: 5, eta });
      for (const { from, to, a, c } of steps(calls)) {
        const variance = eta ** 2 * ((1 - c) / (1 - a)) * (1 - a / c);
        const rest = [...to.x].map((x, i) => {
          const noise = ((from.x[i] as number) - Math.sqrt(a) * PICTURE) / Math.sqrt(1 - a);
          return x - Math.sqrt(c) * PICTURE - Math.sqrt(1 - c - variance) * noise;
        });
        const found = moments(rest);
        expect(Math.abs(found.mean) / Math.sqrt(variance)).toBeLessThan(0.05);
        expect(Math.abs(found.variance / variance - 1)).toBeLessThan(0.1);
      }
    },
  );

  it('at η = 1 and every step is the process of Ho et al. 2020', async () => {
    const { calls } = await trace({ steps: STEPS, eta: 1 });
    expect(calls.length).toBe(STEPS);
    for (const { from, to, a, c } of steps(calls)) {
      const beta = 1 - a / c;
      // Equation 7: mean and variance of a step back, where the picture is known.
      const variance = ((1 - c) / (1 - a)) * beta;
      const ofPicture = (Math.sqrt(c) * beta) / (1 - a);
      const ofNoisy = (Math.sqrt(1 - beta) * (1 - c)) / (1 - a);
      const found = moments(
        [...to.x].map((x, i) => x - ofPicture * PICTURE - ofNoisy * (from.x[i] as number)),
      );
      expect(Math.abs(found.mean) / Math.sqrt(variance)).toBeLessThan(0.05);
      expect(Math.abs(found.variance / variance - 1)).toBeLessThan(0.1);
    }
  });

  it('belongs to its seed, whatever the picture is made together with', async () => {
    const together = await trace({ steps: 4, eta: 1 });
    const { calls, maker } = makerOf('v', sees(PICTURE));
    await maker.make({ seeds: [seeds[5] as number], steps: 4, eta: 1 });
    calls.forEach(({ x }, i) => expect(x).toEqual(together.calls[i]?.x.slice(5 * PLACE, 6 * PLACE)));
  });
});
