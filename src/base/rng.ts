/**
 * One counter-based generator for everything random: Philox 4x32-10 (Salmon et al. 2011). A value
 * depends on (seed, stream, index) alone, so any point can be reached at once and nothing needs saving.
 */
import { InkstoneError } from './errors.ts';

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** High 32 bits of a 32×32-bit product. */
function mulhi(a: number, b: number): number {
  const al = a & 0xffff;
  const ah = a >>> 16;
  const bl = b & 0xffff;
  const bh = b >>> 16;
  const low = al * bl;
  const mid1 = ah * bl + (low >>> 16);
  const mid2 = al * bh + (mid1 & 0xffff);
  return (ah * bh + Math.floor(mid1 / 65536) + Math.floor(mid2 / 65536)) >>> 0;
}

/** Ten rounds over a 4-word counter with a 2-word key; the result is written into `out`. */
export function philox(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
  out: Uint32Array,
): void {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const h0 = mulhi(M0, c0);
    const l0 = Math.imul(M0, c0) >>> 0;
    const h1 = mulhi(M1, c2);
    const l1 = Math.imul(M1, c2) >>> 0;
    c0 = (h1 ^ c1 ^ k0) >>> 0;
    c1 = l1;
    c2 = (h0 ^ c3 ^ k1) >>> 0;
    c3 = l0;
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** FNV-1a, 32 bits: names of streams to words. */
function hashName(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

/** A stream of random values; `index` may be set to any place. */
export class Random {
  private readonly key: readonly [number, number];
  private readonly stream: readonly [number, number];
  private readonly block = new Uint32Array(4);
  private blockAt = -1;
  /** Position in 32-bit words. */
  index = 0;

  /** @param seed a whole number up to 2^53 @param name what it is for @param part a further number (a step, a row) */
  constructor(seed: number, name = '', part = 0) {
    this.key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
    this.stream = [hashName(name), part >>> 0];
  }

  /** 32 random bits. */
  next(): number {
    const at = Math.floor(this.index / 4);
    if (at !== this.blockAt) {
      philox(
        [at >>> 0, Math.floor(at / 2 ** 32) >>> 0, this.stream[0], this.stream[1]],
        this.key,
        this.block,
      );
      this.blockAt = at;
    }
    return this.block[this.index++ & 3] as number;
  }

  /** In [0, 1), 53 bits. */
  uniform(): number {
    return (this.next() >>> 5) * 2 ** -27 + (this.next() >>> 6) * 2 ** -53;
  }

  /** 0 … below − 1, without bias. */
  integer(below: number): number {
    return Math.floor(this.uniform() * below);
  }

  /** Standard normal (Box and Muller 1958). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Fisher and Yates, in place. */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [items[i], items[j]] = [items[j] as T, items[i] as T];
    }
    return items;
  }

  /** Uniform values in [low, high), in place; as many words as `uniform` would use. */
  fillUniform(into: Float32Array | Float64Array, low = 0, high = 1): void {
    for (let i = 0; i < into.length; i++) into[i] = low + (high - low) * this.uniform();
  }

  /** Normal values, in place; as many words as `normal` would use. */
  fillNormal(into: Float32Array | Float64Array, mean = 0, deviation = 1): void {
    for (let i = 0; i < into.length; i++) into[i] = mean + deviation * this.normal();
  }
}

/** Feistel rounds; four suffice for a pseudo-random permutation (Luby and Rackoff 1988), two more are cheap. */
const ROUNDS = 6;

/**
 * A random order of 0 … size − 1 of which any place can be asked for alone: an epoch of a corpus larger than
 * memory needs no list, and a resumed run goes on at its step. A Feistel network over the next even number of
 * bits, walked until it falls inside (Black and Rogaway 2002).
 */
export class Permutation {
  readonly size: number;
  private readonly half: number;
  private readonly keys: readonly [number, number];
  private readonly stream: readonly [number, number];
  private readonly block = new Uint32Array(4);

  /** @param size up to 2^52 @param name, part what it is for (an epoch's number) */
  constructor(size: number, seed: number, name = '', part = 0) {
    if (!Number.isSafeInteger(size) || size < 0 || size > 2 ** 52) {
      throw new InkstoneError('permutation_size', `a permutation has 0 to 2^52 places, not ${size}`);
    }
    this.size = size;
    let bits = 1;
    while (2 ** (2 * bits) < size) bits++;
    this.half = bits;
    this.keys = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
    this.stream = [hashName(`permutation ${name}`), part >>> 0];
  }

  /** The item at a place. A bijection: each item comes at exactly one place. */
  at(place: number): number {
    if (!Number.isInteger(place) || place < 0 || place >= this.size) {
      throw new InkstoneError('permutation_place', `place ${place} is not in 0 … ${this.size - 1}`);
    }
    let value = place;
    do value = this.mix(value);
    while (value >= this.size);
    return value;
  }

  /** One pass of the network over 2 × half bits. */
  private mix(value: number): number {
    const range = 2 ** this.half;
    let left = Math.floor(value / range);
    let right = value % range;
    for (let round = 0; round < ROUNDS; round++) {
      philox([right, round, this.stream[0], this.stream[1]], this.keys, this.block);
      // A half has 26 bits at most: the low bits of one word.
      const next = (left ^ ((this.block[0] as number) & (range - 1))) >>> 0;
      left = right;
      right = next;
    }
    return left * range + right;
  }
}
