/**
 * What Diffusion-GAN does to every picture its critic sees (Wang et al. 2022): noise of a random number of steps, through
 * which the generator's gradient flows. Wraps any pair of networks.
 */
import { tensor } from '../../base/tensor.ts';
import type { Draw, Perturbation } from '../../nn/adversarial/contract.ts';
import { add, mul, reshape, type Tensor } from '../../program/index.ts';

export interface DiffusionNoise {
  least: number;
  most: number;
  /** Deviation of the noise. */
  sigma: number;
  /** `[channels, size, size]` */
  shape: readonly [number, number, number];
}

/** Slots that the number of steps is drawn from: half of them clean (section 3.3). */
const SLOTS = 64;

/** √ᾱ and √(1 − ᾱ) after t of `steps` linear steps, β from 1e-4 to 2e-2. */
export function signalAndNoise(steps: number): { signal: Float64Array; noise: Float64Array } {
  const signal = new Float64Array(steps + 1);
  const noise = new Float64Array(steps + 1);
  let kept = 1;
  signal[0] = 1;
  for (let t = 1; t <= steps; t++) {
    kept *= 1 - (1e-4 + ((2e-2 - 1e-4) * (t - 1)) / Math.max(1, steps - 1));
    signal[t] = Math.sqrt(kept);
    noise[t] = Math.sqrt(1 - kept);
  }
  return { signal, noise };
}

/** 32 zeros, and 32 steps up to `reach` drawn with weight t (the paper's priority list). */
export function stepSlots(random: Draw, reach: number): number[] {
  const slots = new Array<number>(SLOTS / 2).fill(0);
  for (let i = 0; i < SLOTS / 2; i++) {
    // P(t) ∝ t: the square root of a uniform number.
    slots.push(Math.max(1, Math.ceil(Math.sqrt(random.uniform()) * reach)));
  }
  return slots;
}

export function diffusionNoise({ least, most, sigma, shape }: DiffusionNoise): Perturbation {
  const { signal, noise } = signalAndNoise(most);
  const pixels = shape[0] * shape[1] * shape[2];
  return {
    inputs: (batch) => ({
      'perturb.noise': { dtype: 'f32', shape: [batch, ...shape] },
      'perturb.signal': { dtype: 'f32', shape: [batch] },
      'perturb.amount': { dtype: 'f32', shape: [batch] },
      'perturb.times': { dtype: 'i32', shape: [batch] },
    }),
    draw(random, batch, strength) {
      const slots = stepSlots(random, Math.round(least + (most - least) * strength));
      const times = Int32Array.from(
        { length: batch },
        () => slots[Math.floor(random.uniform() * SLOTS)] as number,
      );
      const at = (table: Float64Array, scale: number): Float32Array<ArrayBuffer> =>
        Float32Array.from(times, (t) => (table[t] as number) * scale);
      return {
        'perturb.noise': tensor('f32', [batch, ...shape], random.normals(batch * pixels)),
        'perturb.signal': tensor('f32', [batch], at(signal, 1)),
        'perturb.amount': tensor('f32', [batch], at(noise, sigma)),
        'perturb.times': tensor('i32', [batch], times),
      };
    },
    apply(x, images) {
      const each = (name: string): Tensor => reshape(x[name] as Tensor, [-1, 1, 1, 1]);
      const seen = add(
        mul(images, each('perturb.signal')),
        mul(x['perturb.noise'] as Tensor, each('perturb.amount')),
      );
      return { images: seen, times: x['perturb.times'] };
    },
  };
}
