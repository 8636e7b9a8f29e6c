/** Random numbers in bulk: xoshiro128** (Blackman and Vigna 2018), started from a Philox block, so that any step can be reached at once. */
import { Random } from '../../base/rng.ts';
import type { Draw } from './contract.ts';

export class QuickRandom implements Draw {
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  /** @param name what it is for @param part a step's number */
  constructor(seed: number, name: string, part = 0) {
    const start = new Random(seed, name, part);
    this.a = start.next() | 0;
    this.b = start.next() | 0;
    this.c = start.next() | 0;
    this.d = start.next() | 1;
  }

  private word(): number {
    const m = Math.imul(this.b, 5);
    const word = Math.imul((m << 7) | (m >>> 25), 9);
    const t = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= t;
    this.d = (this.d << 11) | (this.d >>> 21);
    return word >>> 0;
  }

  /** In [0, 1), 32 bits. */
  uniform(): number {
    return this.word() * 2 ** -32;
  }

  /** Standard normal (Box and Muller 1958). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  normals(size: number): Float32Array<ArrayBuffer> {
    const values = new Float32Array(size);
    for (let i = 0; i < size; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
      const angle = 2 * Math.PI * this.uniform();
      values[i] = radius * Math.cos(angle);
      if (i + 1 < size) values[i + 1] = radius * Math.sin(angle);
    }
    return values;
  }
}
