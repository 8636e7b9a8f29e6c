/**
 * Keys and values of prompts that were read before, in host memory: a prompt that begins like one of them is read
 * from where they part. The least recently used go first. Knows tokens, no text.
 */
import type { HostTensors } from '../base/tensor.ts';

interface Entry {
  /** Who may find it: others would learn from the time it takes what was read before. */
  tenant: string | undefined;
  tokens: readonly number[];
  part: HostTensors;
  bytes: number;
}

/** Shorter beginnings are read again: looking them up costs more than it saves. */
const SHORTEST = 16;

export class PrefixCache {
  private readonly limit: number;
  private readonly entries: Entry[] = [];
  private bytes = 0;
  hits = 0;
  /** Tokens that did not have to be read. */
  saved = 0;

  /** @param limit bytes; 0 keeps nothing */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** Bytes that it keeps. */
  get held(): number {
    return this.bytes;
  }

  /** The longest beginning of `tokens` that is known; at least one token is left to be read. */
  find(tokens: readonly number[], tenant?: string): { part: HostTensors; count: number } | undefined {
    let best: Entry | undefined;
    let count = SHORTEST - 1;
    for (const entry of this.entries) {
      if (entry.tenant !== tenant) continue;
      const shared = Math.min(sharedLength(entry.tokens, tokens), tokens.length - 1);
      if (shared > count) {
        best = entry;
        count = shared;
      }
    }
    if (best === undefined) return undefined;
    this.touch(best);
    this.hits += 1;
    this.saved += count;
    return { part: best.part, count };
  }

  /** Whether keeping these tokens would tell anything new. */
  wants(tokens: readonly number[], bytes: number, tenant?: string): boolean {
    if (bytes > this.limit || tokens.length < SHORTEST) return false;
    const known = this.entries.find(
      (entry) => entry.tenant === tenant && sharedLength(entry.tokens, tokens) === tokens.length,
    );
    if (known !== undefined) this.touch(known);
    return known === undefined;
  }

  put(tokens: readonly number[], part: HostTensors, tenant?: string): void {
    const bytes = Object.values(part).reduce((total, t) => total + t.data.byteLength, 0);
    // What the new one begins with is held by it now.
    for (let i = this.entries.length - 1; i >= 0; i--) {
      const { tokens: own, tenant: theirs } = this.entries[i] as Entry;
      if (theirs === tenant && sharedLength(own, tokens) === own.length) this.drop(i);
    }
    this.entries.unshift({ tenant, tokens: [...tokens], part, bytes });
    this.bytes += bytes;
    while (this.bytes > this.limit) this.drop(this.entries.length - 1);
  }

  private touch(entry: Entry): void {
    this.entries.splice(this.entries.indexOf(entry), 1);
    this.entries.unshift(entry);
  }

  private drop(index: number): void {
    this.bytes -= this.entries.splice(index, 1)[0]?.bytes ?? 0;
  }
}

function sharedLength(a: readonly number[], b: readonly number[]): number {
  const end = Math.min(a.length, b.length);
  let i = 0;
  while (i < end && a[i] === b[i]) i++;
  return i;
}
