/**
 * Which target has read the beginning of a text before: hashes of its growing beginnings, block by block, each with who
 * read it. Keeps hashes only, never a text; another tenant's are never found.
 */

/** Characters of a block. */
const BLOCK = 128;
/** Blocks of one text that are looked at. */
const BLOCKS = 64;

export class PrefixIndex {
  private readonly seen = new Map<number, Set<string>>();
  private readonly size: number;

  /** @param size beginnings that are remembered, the least used forgotten first */
  constructor(size = 65_536) {
    this.size = size;
  }

  private *hashes(tenant: string, text: string): Iterable<number> {
    let hash = 0;
    for (let i = 0; i < tenant.length; i++) hash = mix(hash, tenant.charCodeAt(i));
    const end = Math.min(text.length, BLOCKS * BLOCK);
    for (let at = 0; at + BLOCK <= end; at += BLOCK) {
      for (let i = at; i < at + BLOCK; i++) hash = mix(hash, text.charCodeAt(i));
      yield hash;
    }
  }

  /** For each target the share of the text, 0 to 1, whose beginning it has read. */
  match(tenant: string, text: string): Map<string, number> {
    const found = new Map<string, number>();
    const whole = Math.max(1, Math.min(BLOCKS, Math.floor(text.length / BLOCK)));
    let depth = 0;
    for (const hash of this.hashes(tenant, text)) {
      const who = this.seen.get(hash);
      if (who === undefined) break;
      depth++;
      for (const target of who)
        if ((found.get(target) ?? 0) * whole >= depth - 1.5) found.set(target, depth / whole);
    }
    return found;
  }

  add(tenant: string, text: string, target: string): void {
    for (const hash of this.hashes(tenant, text)) {
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

/** 52 bits of state from two multiplications of 32 bits each; a collision only misleads one choice. */
function mix(hash: number, code: number): number {
  const low = Math.imul((hash >>> 0) ^ code, 0x9e3779b1) >>> 0;
  const high = Math.imul((Math.floor(hash / 0x1_0000_0000) ^ low) | 0, 0x85ebca6b) & 0xfffff;
  return (high >>> 0) * 0x1_0000_0000 + low;
}
