/**
 * Adaptive discriminator augmentation (Karras et al. 2020, appendix B): each picture that the critic sees is moved, turned,
 * stretched and recoloured at random, each with the same probability. The host draws the transforms and works out where
 * every pixel comes from; the program takes weighted pixels, which gradients of any order flow through.
 */
import { tensor } from '../../base/tensor.ts';
import type { Draw, Perturbation } from '../../nn/adversarial/contract.ts';
import {
  add,
  broadcastTo,
  gatherElements,
  matmul,
  mul,
  reshape,
  sum,
  type Tensor,
} from '../../program/index.ts';

/** Groups of transforms, as the paper has them. */
export const AUGMENTATIONS = ['blit', 'geometry', 'colour'] as const;
export type Augmentation = (typeof AUGMENTATIONS)[number];

export interface AugmentOptions {
  /** `[channels, size, size]` */
  shape: readonly [number, number, number];
  kinds: readonly Augmentation[];
}

/** Rows of a 2×3 matrix, over coordinates with the picture's centre at 0 and its half side 1. */
type Affine = [number, number, number, number, number, number];

const TAPS = 4;

export function augmentation({ shape, kinds }: AugmentOptions): Perturbation {
  const [channels, size] = shape;
  const pixels = size * size;
  return {
    inputs: (batch) => ({
      'perturb.from': { dtype: 'i32', shape: [batch, 1, TAPS * pixels] },
      'perturb.share': { dtype: 'f32', shape: [batch, 1, TAPS * pixels] },
      'perturb.colour': { dtype: 'f32', shape: [batch, channels, channels] },
      'perturb.offset': { dtype: 'f32', shape: [batch, channels, 1] },
    }),
    draw(random, batch, strength) {
      const from = new Int32Array(batch * TAPS * pixels);
      const share = new Float32Array(batch * TAPS * pixels);
      const colour = new Float32Array(batch * channels * channels);
      const offset = new Float32Array(batch * channels);
      for (let row = 0; row < batch; row++) {
        sampling(drawAffine(random, strength, kinds, size), size, from, share, row * TAPS * pixels);
        const { matrix, move } = drawColour(random, kinds.includes('colour') ? strength : 0, channels);
        colour.set(matrix, row * channels * channels);
        offset.set(move, row * channels);
      }
      return {
        'perturb.from': tensor('i32', [batch, 1, TAPS * pixels], from),
        'perturb.share': tensor('f32', [batch, 1, TAPS * pixels], share),
        'perturb.colour': tensor('f32', [batch, channels, channels], colour),
        'perturb.offset': tensor('f32', [batch, channels, 1], offset),
      };
    },
    apply(x, images) {
      const batch = images.shape[0] as number;
      const flat = reshape(images, [batch, channels, pixels]);
      const spread = [batch, channels, TAPS * pixels];
      const taken = gatherElements(flat, broadcastTo(x['perturb.from'] as Tensor, spread), 2);
      const weighted = mul(taken, x['perturb.share'] as Tensor);
      const moved = sum(reshape(weighted, [batch, channels, TAPS, pixels]), { axes: [2] });
      const coloured = add(matmul(x['perturb.colour'] as Tensor, moved), x['perturb.offset'] as Tensor);
      return { images: reshape(coloured, [batch, ...shape]) };
    },
  };
}

/** `a` after `b`. */
function after(a: Affine, b: Affine): Affine {
  const [a0, a1, a2, a3, a4, a5] = a;
  const [b0, b1, b2, b3, b4, b5] = b;
  return [
    a0 * b0 + a1 * b3,
    a0 * b1 + a1 * b4,
    a0 * b2 + a1 * b5 + a2,
    a3 * b0 + a4 * b3,
    a3 * b1 + a4 * b4,
    a3 * b2 + a4 * b5 + a5,
  ];
}

const scaling = (x: number, y: number): Affine => [x, 0, 0, 0, y, 0];
const moving = (x: number, y: number): Affine => [1, 0, x, 0, 1, y];
const turning = (angle: number): Affine => [
  Math.cos(angle),
  -Math.sin(angle),
  0,
  Math.sin(angle),
  Math.cos(angle),
  0,
];

/** From the new picture's places to the old one's, in the paper's order. */
function drawAffine(random: Draw, p: number, kinds: readonly Augmentation[], size: number): Affine {
  let result: Affine = [1, 0, 0, 0, 1, 0];
  const maybe = (chance: number, make: () => Affine): void => {
    // Both are drawn, so that what follows does not depend on the outcome.
    const hit = random.uniform() < chance;
    const made = make();
    if (hit) result = after(result, made);
  };
  const pixel = 2 / size;
  if (kinds.includes('blit')) {
    maybe(p, () => scaling(random.uniform() < 0.5 ? -1 : 1, 1));
    maybe(p, () => turning((Math.floor(random.uniform() * 4) * Math.PI) / 2));
    maybe(p, () => {
      const move = (): number => Math.round((random.uniform() * 2 - 1) * 0.125 * size) * pixel;
      return moving(move(), move());
    });
  }
  if (kinds.includes('geometry')) {
    // Two turns, each with half of what makes p together.
    const turn = 1 - Math.sqrt(1 - p);
    maybe(p, () => {
      const scale = 2 ** (random.normal() * 0.2);
      return scaling(scale, scale);
    });
    maybe(turn, () => turning((random.uniform() * 2 - 1) * Math.PI));
    maybe(p, () => {
      const scale = 2 ** (random.normal() * 0.2);
      return scaling(scale, 1 / scale);
    });
    maybe(turn, () => turning((random.uniform() * 2 - 1) * Math.PI));
    maybe(p, () => moving(random.normal() * 0.125 * 2, random.normal() * 0.125 * 2));
  }
  return result;
}

/** The four neighbours of every new pixel's place in the old picture; past the rim the picture is mirrored. */
function sampling(
  [a, b, c, d, e, f]: Affine,
  size: number,
  from: Int32Array,
  share: Float32Array,
  start: number,
): void {
  const pixels = size * size;
  for (let row = 0; row < size; row++)
    for (let column = 0; column < size; column++) {
      const x = ((column + 0.5) * 2) / size - 1;
      const y = ((row + 0.5) * 2) / size - 1;
      const atX = ((a * x + b * y + c + 1) * size) / 2 - 0.5;
      const atY = ((d * x + e * y + f + 1) * size) / 2 - 0.5;
      // A turn by a right angle lands on pixels but for rounding.
      const left = Math.floor(atX + 1e-6);
      const top = Math.floor(atY + 1e-6);
      const right = Math.min(1, Math.max(0, atX - left));
      const down = Math.min(1, Math.max(0, atY - top));
      const place = start + row * size + column;
      for (let tap = 0; tap < TAPS; tap++) {
        const stepX = tap % 2;
        const stepY = tap >> 1;
        from[place + tap * pixels] = mirrored(top + stepY, size) * size + mirrored(left + stepX, size);
        share[place + tap * pixels] = (stepX === 1 ? right : 1 - right) * (stepY === 1 ? down : 1 - down);
      }
    }
}

function mirrored(at: number, size: number): number {
  const period = 2 * size;
  const inside = ((at % period) + period) % period;
  return inside < size ? inside : period - 1 - inside;
}

/** Brightness, contrast, and for colour pictures luma flip, hue and saturation, over −1 … 1. */
function drawColour(random: Draw, p: number, channels: number): { matrix: number[]; move: number[] } {
  let matrix = identity(channels);
  let move = new Array<number>(channels).fill(0);
  const then = (by: readonly number[], plus: number): void => {
    matrix = product(by, matrix, channels);
    move = move.map((_, i) =>
      move.reduce((total, value, j) => total + (by[i * channels + j] as number) * value, plus),
    );
  };
  const maybe = (make: () => { by: readonly number[]; plus: number }): void => {
    const hit = random.uniform() < p;
    const { by, plus } = make();
    if (hit) then(by, plus);
  };
  maybe(() => ({ by: identity(channels), plus: random.normal() * 0.2 }));
  maybe(() => {
    const contrast = 2 ** (random.normal() * 0.5);
    return { by: identity(channels).map((value) => value * contrast), plus: 0 };
  });
  if (channels < 3) return { matrix, move };
  // Along the grey axis: flipped; around it: turned; away from it: stretched.
  maybe(() => ({ by: alongGrey(channels, random.uniform() < 0.5 ? -1 : 1, 1), plus: 0 }));
  maybe(() => ({ by: hue(channels, (random.uniform() * 2 - 1) * Math.PI), plus: 0 }));
  maybe(() => ({ by: alongGrey(channels, 1, 2 ** random.normal()), plus: 0 }));
  return { matrix, move };
}

const identity = (n: number): number[] =>
  Array.from({ length: n * n }, (_, i) => (Math.floor(i / n) === i % n ? 1 : 0));

function product(a: readonly number[], b: readonly number[], n: number): number[] {
  return Array.from({ length: n * n }, (_, i) => {
    let total = 0;
    for (let k = 0; k < n; k++)
      total += (a[Math.floor(i / n) * n + k] as number) * (b[k * n + (i % n)] as number);
    return total;
  });
}

/** `along` on the grey axis of the first three channels, `across` on what stands at right angles to it. */
function alongGrey(n: number, along: number, across: number): number[] {
  const result = identity(n);
  for (let i = 0; i < 3; i++)
    for (let j = 0; j < 3; j++) result[i * n + j] = (i === j ? across : 0) + (along - across) / 3;
  return result;
}

/** A turn around the grey axis (Rodrigues). */
function hue(n: number, angle: number): number[] {
  const result = identity(n);
  const cosine = Math.cos(angle);
  const sine = Math.sin(angle) / Math.sqrt(3);
  for (let i = 0; i < 3; i++)
    for (let j = 0; j < 3; j++) {
      const turn = i === j ? 0 : (j - i + 3) % 3 === 1 ? -sine : sine;
      result[i * n + j] = (i === j ? cosine : 0) + (1 - cosine) / 3 + turn;
    }
  return result;
}
