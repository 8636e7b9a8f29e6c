/**
 * Perceptual path length (Karras et al. 2019, section 4.1): how much pictures change over a tiny step on the way between two
 * latents. Smooth ways are short. Knows no networks: how pictures are made and compared is handed in.
 */
import { Random } from '../../base/rng.ts';
import { between } from '../../generate/image/maker.ts';

export interface PathOptions {
  /** Ends of ways. */
  pairs: number;
  /** The step, as part of the way. */
  epsilon?: number;
  seed?: number;
  /** Where on way i it is measured, 0 … 1; left out, at random. */
  parts?(i: number): number;
  /** Both ends of way i; how many numbers they have is the caller's. */
  ends(from: number, to: number): Promise<(readonly [Float32Array, Float32Array])[]>;
  /** `sphere` for latents, `line` for styles: how one goes between two. */
  along: 'sphere' | 'line';
  /** Distances of the pictures of `one[i]` and `other[i]`, which are of way `from + i`. */
  distances(
    one: readonly Float32Array[],
    other: readonly Float32Array[],
    from: number,
  ): Promise<ArrayLike<number>>;
}

/** Step as the paper has it. */
export const EPSILON = 1e-4;
/** Ways at a time. */
const PART = 64;
/** Percentiles that count, as the authors' code has it: a few ways across cliffs would outweigh all others. */
const LOWEST = 0.01;
const HIGHEST = 0.99;

/**
 * Mean of d(G(t), G(t + ε)) / ε² over pairs and t uniform in 0 … 1, without the lowest and highest hundredth. The distance is
 * quadratic, so that the quotient has a limit.
 */
export async function perceptualPathLength(options: PathOptions): Promise<number> {
  const { pairs, epsilon = EPSILON, seed = 0, along, ends, distances } = options;
  const random = new Random(seed, 'path');
  const lengths: number[] = [];
  for (let from = 0; from < pairs; from += PART) {
    const to = Math.min(pairs, from + PART);
    const parts = Array.from({ length: to - from }, (_, i) => options.parts?.(from + i) ?? random.uniform());
    const ways = await ends(from, to);
    const at = (shift: number): Float32Array[] =>
      ways.map(([a, b], i) => go(a, b, (parts[i] as number) + shift, along));
    const found = await distances(at(0), at(epsilon), from);
    for (let i = 0; i < to - from; i++) lengths.push((found[i] as number) / epsilon ** 2);
  }
  return meanWithin(lengths);
}

function go(a: Float32Array, b: Float32Array, part: number, along: 'sphere' | 'line'): Float32Array {
  if (along === 'sphere') return between(a, b, part);
  return a.map((value, i) => value + part * ((b[i] as number) - value));
}

/** Between the ranks at both percentiles, both included: NumPy's `lower` and `higher`. */
function meanWithin(lengths: readonly number[]): number {
  const sorted = [...lengths].sort((a, b) => a - b);
  const low = sorted[Math.floor(LOWEST * (sorted.length - 1))] ?? 0;
  const high = sorted[Math.ceil(HIGHEST * (sorted.length - 1))] ?? 0;
  const kept = sorted.filter((length) => length >= low && length <= high);
  return kept.reduce((a, b) => a + b, 0) / kept.length;
}
