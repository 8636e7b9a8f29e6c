/**
 * Which target has read the beginning of a text before: hashes of its growing beginnings, block by block, each with who
 * read it. Keeps hashes only, never a text; another tenant's are never found.
 */

/** Characters of a block. */
const BLOCK = 128;
/** Blocks of one text that are looked at. */
const BLOCKS = 64;

/** Hashes of a text's first block, its first two, and so on. */
export type Beginnings = readonly number[];

export class PrefixIndex {
  private readonly seen = new Map<number, Set<string>>();
  private readonly size: number;

  /** @param size beginnings that are remembered, the least used forgotten first */
  constructor(size = 65_536) {
    this.size = size;
  }

  /** The beginnings of a text, hashed; once for looking and for remembering. */
  beginningsOf(tenant: string, text: string): Beginnings {
    const hash = new Mixer();
    for (let i = 0; i < tenant.length; i++) hash.take(tenant.charCodeAt(i));
    const blocks = Math.min(BLOCKS, Math.floor(text.length / BLOCK));
    const hashes: number[] = [];
    for (let block = 0; block < blocks; block++) {
      for (let i = block * BLOCK; i < (block + 1) * BLOCK; i++) hash.take(text.charCodeAt(i));
      hashes.push(hash.value);
    }
    return hashes;
  }

  /** For each target the share of the text, 0 to 1, whose beginning it has read. */
  match(beginnings: Beginnings): Map<string, number> {
    const found = new Map<string, number>();
    const whole = Math.max(1, beginnings.length);
    let depth = 0;
    for (const hash of beginnings) {
      const who = this.seen.get(hash);
      if (who === undefined) break;
      depth++;
      for (const target of who)
        if ((found.get(target) ?? 0) * whole >= depth - 1.5) found.set(target, depth / whole);
    }
    return found;
  }

  add(beginnings: Beginnings, target: string): void {
    for (const hash of beginnings) {
      const who = this.seen.get(hash) ?? new Set();
      who.add(target);
      this.seen.delete(hash);
      this.seen.set(hash, who);
      if (this.seen.size > this.size) this.seen.delete(this.seen.keys().next().value as number);
    }
  }

  /** A target that is gone has forgotten all. */
  forget(target: string): void {
    for (const [hash, who] of this.seen) {
      who.delete(target);
      if (who.size === 0) this.seen.delete(hash);
    }
  }
}

/** 52 bits of two multiplications of 32 bits a character; a collision only misleads one choice. */
class Mixer {
  private low = 0x811c9dc5;
  private high = 0x2545f491;

  take(code: number): void {
    this.low = Math.imul(this.low ^ code, 0x9e3779b1);
    this.high = Math.imul(((this.high << 7) | (this.high >>> 25)) ^ code, 0x85ebca6b);
  }

  get value(): number {
    return (this.high >>> 12) * 0x1_0000_0000 + ((this.low ^ (this.low >>> 15)) >>> 0);
  }
}
