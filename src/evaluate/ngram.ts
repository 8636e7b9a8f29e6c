/**
 * An interpolated Witten–Bell character n-gram: the reference that a neural model of text must beat.
 * Source: Witten and Bell 1991, method C; Chen and Goodman 1998, section 2.5.
 */
import { InkstoneError } from '../base/errors.ts';

/**
 * All strings of one length that were seen, numbered in the order of their coming. Open addressing; keys are
 * exact. A string counts how often it stands somewhere, and, as a history, what follows it.
 */
class StringTable {
  /** How often each string stands somewhere. */
  counts = new Uint32Array(1 << 10);
  /** How often something follows it, and how many different characters do. */
  followers = new Uint32Array(1 << 10);
  kinds = new Uint32Array(1 << 10);
  private keys = new Float64Array(1 << 10);
  private size = 0;
  /** Slot → number + 1; 0 is free. */
  private slots = new Uint32Array(1 << 12);

  private slot(key: number): number {
    const mask = this.slots.length - 1;
    let hash = Math.imul(key >>> 0, 0x9e3779b1) ^ Math.imul(Math.floor(key / 2 ** 32), 0x85ebca77);
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
    let at = (hash ^ (hash >>> 13)) & mask;
    for (let entry = this.slots[at] as number; entry !== 0; entry = this.slots[at] as number) {
      if (this.keys[entry - 1] === key) return at;
      at = (at + 1) & mask;
    }
    return at;
  }

  /** The number of a string, −1 where it was never seen. */
  find(key: number): number {
    return (this.slots[this.slot(key)] as number) - 1;
  }

  /** The number of a string, which is entered where it is new. */
  enter(key: number): number {
    const at = this.slot(key);
    const entry = this.slots[at] as number;
    if (entry !== 0) return entry - 1;
    if (this.size === this.keys.length) this.grow();
    this.keys[this.size] = key;
    this.slots[at] = ++this.size;
    if (this.size * 2 > this.slots.length) this.rehash();
    return this.size - 1;
  }

  private grow(): void {
    const wider = (from: Uint32Array): Uint32Array<ArrayBuffer> => {
      const to = new Uint32Array(from.length * 2);
      to.set(from);
      return to;
    };
    this.counts = wider(this.counts);
    this.followers = wider(this.followers);
    this.kinds = wider(this.kinds);
    const keys = new Float64Array(this.keys.length * 2);
    keys.set(this.keys);
    this.keys = keys;
  }

  private rehash(): void {
    this.slots = new Uint32Array(this.slots.length * 4);
    for (let i = 0; i < this.size; i++) this.slots[this.slot(this.keys[i] as number)] = i + 1;
  }
}

export class WittenBell {
  readonly order: number;
  private readonly ids = new Map<number, number>();
  /** One more than the characters, rounded up to a power of two: the digits that keys are written in. */
  private readonly base: number;
  /** `strings[n]`: strings of n characters; the empty one is the only one of its length. */
  private readonly strings: readonly StringTable[];

  /**
   * @param order characters of a string: the history has one fewer
   * @param vocabulary every character (code point) that may come up
   * @throws InkstoneError `ngram_order`, `ngram_too_wide`
   */
  constructor(order: number, vocabulary: Iterable<string>) {
    if (!Number.isInteger(order) || order < 1)
      throw new InkstoneError('ngram_order', `an n-gram has an order from 1 on, not ${order}`, {
        kind: 'usage',
      });
    this.order = order;
    for (const character of vocabulary) {
      const code = character.codePointAt(0) as number;
      if (!this.ids.has(code)) this.ids.set(code, this.ids.size);
    }
    const bits = Math.max(1, Math.ceil(Math.log2(this.ids.size + 1)));
    if (bits * order > 52) {
      throw new InkstoneError(
        'ngram_too_wide',
        `${this.ids.size} characters are too many for order ${order}`,
        { kind: 'usage', hint: `use order ${Math.floor(52 / bits)}` },
      );
    }
    this.base = 2 ** bits;
    this.strings = Array.from({ length: order + 1 }, () => new StringTable());
    this.strings[0]?.enter(0);
  }

  private encode(text: string): Int32Array {
    const ids = new Int32Array(text.length);
    let length = 0;
    for (let at = 0; at < text.length; length++) {
      const code = text.codePointAt(at) as number;
      const id = this.ids.get(code);
      if (id === undefined)
        throw new InkstoneError(
          'character_unknown',
          `${JSON.stringify(String.fromCodePoint(code))} is not in the vocabulary`,
          { kind: 'data', hint: 'the vocabulary must have every character of both texts' },
        );
      ids[length] = id;
      at += code > 0xffff ? 2 : 1;
    }
    return ids.subarray(0, length);
  }

  /** Histories begin anew with each call. */
  train(text: string): void {
    const { base, strings } = this;
    const ids = this.encode(text);
    // The strings that end before `at`: each is the history of the string one character longer.
    const before = new Int32Array(this.order + 1);
    for (let at = 0; at < ids.length; at++) {
      let key = 0;
      let place = 1;
      let history = 0;
      for (let n = 1; n <= this.order && n <= at + 1; n++) {
        key += ((ids[at - n + 1] as number) + 1) * place;
        place *= base;
        const longer = strings[n] as StringTable;
        const shorter = strings[n - 1] as StringTable;
        const entry = longer.enter(key);
        const count = longer.counts[entry] as number;
        longer.counts[entry] = count + 1;
        shorter.followers[history] = (shorter.followers[history] as number) + 1;
        if (count === 0) shorter.kinds[history] = (shorter.kinds[history] as number) + 1;
        history = before[n] as number;
        before[n] = entry;
      }
    }
  }

  /**
   * Mean nats per character; the first characters are told by the shorter histories they have.
   * @throws InkstoneError `character_unknown`
   */
  score(text: string): number {
    const { base, strings } = this;
    const ids = this.encode(text);
    const before = new Int32Array(this.order + 1);
    let total = 0;
    for (let at = 0; at < ids.length; at++) {
      let p = 1 / this.ids.size;
      let key = 0;
      let place = 1;
      let history = 0;
      for (let n = 1; n <= this.order && n <= at + 1; n++) {
        key += ((ids[at - n + 1] as number) + 1) * place;
        place *= base;
        const longer = strings[n] as StringTable;
        const shorter = strings[n - 1] as StringTable;
        const entry = longer.find(key);
        const seen = history < 0 ? 0 : (shorter.followers[history] as number);
        if (seen > 0) {
          const kinds = shorter.kinds[history] as number;
          const count = entry < 0 ? 0 : (longer.counts[entry] as number);
          p = (count + kinds * p) / (seen + kinds);
        }
        history = before[n] as number;
        before[n] = entry;
      }
      total -= Math.log(p);
    }
    return total / ids.length;
  }
}
