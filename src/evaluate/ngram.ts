/**
 * An interpolated Witten–Bell character n-gram: the reference that a neural model of text must beat.
 * Source: Witten and Bell 1991, method C; Chen and Goodman 1998, section 2.5.
 */
import { InkstoneError } from '../base/errors.ts';

/** Open-addressing table from (context, character) to counts; keys are exact, packed in two 32-bit words. */
class CountTable {
  private size = 1 << 16;
  private used = 0;
  private high = new Uint32Array(this.size);
  private low = new Uint32Array(this.size);
  private values = new Uint32Array(this.size);

  private slot(high: number, low: number): number {
    const mask = this.size - 1;
    let at = (Math.imul(high ^ (low >>> 15), 0x9e3779b1) ^ Math.imul(low, 0x85ebca77)) >>> 0;
    for (at = (at ^ (at >>> 15)) & mask; this.values[at] !== 0; at = (at + 1) & mask) {
      if (this.high[at] === high && this.low[at] === low) return at;
    }
    return at;
  }

  get(high: number, low: number): number {
    return this.values[this.slot(high, low)] as number;
  }

  /** Adds one and returns the count before. */
  increment(high: number, low: number): number {
    const at = this.slot(high, low);
    const before = this.values[at] as number;
    this.values[at] = before + 1;
    if (before === 0) {
      this.high[at] = high;
      this.low[at] = low;
      if (++this.used * 2 > this.size) this.grow();
    }
    return before;
  }

  private grow(): void {
    const { high, low, values } = this;
    this.size *= 2;
    this.high = new Uint32Array(this.size);
    this.low = new Uint32Array(this.size);
    this.values = new Uint32Array(this.size);
    values.forEach((value, i) => {
      if (value === 0) return;
      const at = this.slot(high[i] as number, low[i] as number);
      this.high[at] = high[i] as number;
      this.low[at] = low[i] as number;
      this.values[at] = value;
    });
  }
}

export class WittenBell {
  readonly order: number;
  private readonly ids: ReadonlyMap<string, number>;
  private readonly bits: number;
  /** By length of history: counts of history + character, of history, and of distinct followers. */
  private readonly pairs: CountTable[] = [];
  private readonly totals: CountTable[] = [];
  private readonly types: CountTable[] = [];

  /** @param vocabulary every character that may come up @throws InkstoneError `ngram_too_wide` */
  constructor(order: number, vocabulary: Iterable<string>) {
    this.order = order;
    this.ids = new Map([...new Set(vocabulary)].map((c, i) => [c, i]));
    this.bits = Math.max(1, Math.ceil(Math.log2(this.ids.size + 1)));
    if (this.bits * order > 52) {
      throw new InkstoneError(
        'ngram_too_wide',
        `${this.ids.size} characters are too many for order ${order}`,
        { kind: 'usage', hint: `use order ${Math.floor(52 / this.bits)}` },
      );
    }
    for (let n = 0; n < order; n++) {
      this.pairs.push(new CountTable());
      this.totals.push(new CountTable());
      this.types.push(new CountTable());
    }
  }

  private encode(text: string): Int32Array {
    return Int32Array.from([...text], (c) => {
      const id = this.ids.get(c);
      if (id === undefined)
        throw new InkstoneError('character_unknown', `${JSON.stringify(c)} is not in the vocabulary`, {
          kind: 'data',
        });
      return id;
    });
  }

  /** History of `n` characters before `at`, shifted so that lengths cannot be confused, and the character. */
  private key(ids: Int32Array, at: number, n: number, withCharacter: boolean): [number, number] {
    const base = 2 ** this.bits;
    let key = 0;
    for (let i = at - n; i < at + (withCharacter ? 1 : 0); i++) key = key * base + (ids[i] as number) + 1;
    return [Math.floor(key / 2 ** 32), key % 2 ** 32];
  }

  train(text: string): void {
    const ids = this.encode(text);
    for (let at = 0; at < ids.length; at++) {
      for (let n = 0; n < this.order && n <= at; n++) {
        const [high, low] = this.key(ids, at, n, false);
        const [pairHigh, pairLow] = this.key(ids, at, n, true);
        (this.totals[n] as CountTable).increment(high, low);
        if ((this.pairs[n] as CountTable).increment(pairHigh, pairLow) === 0)
          (this.types[n] as CountTable).increment(high, low);
      }
    }
  }

  /** Mean nats per character. */
  score(text: string): number {
    const ids = this.encode(text);
    let total = 0;
    for (let at = 0; at < ids.length; at++) {
      let p = 1 / this.ids.size;
      for (let n = 0; n < this.order && n <= at; n++) {
        const [high, low] = this.key(ids, at, n, false);
        const seen = (this.totals[n] as CountTable).get(high, low);
        if (seen === 0) break;
        const types = (this.types[n] as CountTable).get(high, low);
        const [pairHigh, pairLow] = this.key(ids, at, n, true);
        p = ((this.pairs[n] as CountTable).get(pairHigh, pairLow) + types * p) / (seen + types);
      }
      total -= Math.log(p);
    }
    return total / ids.length;
  }
}
