/**
 * A prefix tree over UTF-16 units in flat arrays: the tokens that begin at a place of a text, shortest first. Holds
 * hundreds of thousands of tokens in a few megabytes. Knows no tokenizer.
 */

/** Slots of the table per edge. */
const ROOM = 2;

export class Trie {
  /** Open addressing: (node, unit) → node. */
  private readonly nodes: Int32Array;
  private readonly units: Uint16Array;
  private readonly targets: Int32Array;
  private readonly mask: number;
  /** Per node: the id of the token that ends there, or −1. */
  private readonly ids: Int32Array;

  /** @param tokens not empty strings; where one stands twice the later id counts */
  constructor(tokens: Iterable<readonly [string, number]>) {
    const all = [...tokens];
    const most = all.reduce((total, [token]) => total + token.length, 1);
    let size = 16;
    while (size < ROOM * most) size *= 2;
    this.mask = size - 1;
    this.nodes = new Int32Array(size).fill(-1);
    this.units = new Uint16Array(size);
    this.targets = new Int32Array(size);
    const ids = new Int32Array(most).fill(-1);
    let next = 1;
    for (const [token, id] of all) {
      let node = 0;
      for (let i = 0; i < token.length; i++) {
        const unit = token.charCodeAt(i);
        const slot = this.slot(node, unit);
        if (this.nodes[slot] === -1) {
          this.nodes[slot] = node;
          this.units[slot] = unit;
          this.targets[slot] = next++;
        }
        node = this.targets[slot] as number;
      }
      ids[node] = id;
    }
    this.ids = ids.slice(0, next);
  }

  private slot(node: number, unit: number): number {
    let at = Math.imul(Math.imul(node, 0x9e3779b1) ^ Math.imul(unit, 0x85ebca6b), 0xc2b2ae35);
    at = (at ^ (at >>> 15)) & this.mask;
    while (this.nodes[at] !== -1 && (this.nodes[at] !== node || this.units[at] !== unit))
      at = (at + 1) & this.mask;
    return at;
  }

  /** Calls `found` with each token that begins at `start`: its end and its id, shortest first. */
  prefixes(text: string, start: number, found: (end: number, id: number) => void): void {
    let node = 0;
    for (let i = start; i < text.length; i++) {
      const slot = this.slot(node, text.charCodeAt(i));
      if (this.nodes[slot] === -1) return;
      node = this.targets[slot] as number;
      const id = this.ids[node] as number;
      if (id >= 0) found(i + 1, id);
    }
  }

  /** The longest token that begins at `start`. */
  longest(text: string, start: number): { end: number; id: number } | undefined {
    let best: { end: number; id: number } | undefined;
    this.prefixes(text, start, (end, id) => {
      best = { end, id };
    });
    return best;
  }
}
