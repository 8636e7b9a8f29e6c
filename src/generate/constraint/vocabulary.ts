/** A vocabulary as a tree over the bytes of its tokens, in flat arrays; made once for a model. Knows no grammar. */

export class TokenTree {
  readonly size: number;
  readonly bytesOf: (id: number) => Uint8Array;
  private readonly byte: number[] = [0];
  private readonly child: number[] = [-1];
  private readonly sibling: number[] = [-1];
  /** Tokens that end at a node. */
  private readonly tokens: (number[] | undefined)[] = [undefined];

  /** @param bytesOf of each id; empty for tokens that write nothing */
  constructor(size: number, bytesOf: (id: number) => Uint8Array) {
    this.size = size;
    this.bytesOf = bytesOf;
    for (let id = 0; id < size; id++) {
      const bytes = bytesOf(id);
      if (bytes.length === 0) continue;
      let node = 0;
      for (const byte of bytes) node = this.below(node, byte) ?? this.grow(node, byte);
      const here = this.tokens[node];
      if (here === undefined) this.tokens[node] = [id];
      else here.push(id);
    }
  }

  private below(node: number, byte: number): number | undefined {
    let next = this.child[node] as number;
    while (next >= 0 && this.byte[next] !== byte) next = this.sibling[next] as number;
    return next >= 0 ? next : undefined;
  }

  private grow(node: number, byte: number): number {
    const made = this.byte.push(byte) - 1;
    this.sibling.push(this.child[node] as number);
    this.child.push(-1);
    this.tokens.push(undefined);
    this.child[node] = made;
    return made;
  }

  /**
   * Walks along every token at once. @param step from a state along a byte; undefined where it may not come
   * @param found for every token all of whose bytes may come, with the state behind it
   */
  walk<State>(
    start: State,
    step: (state: State, byte: number) => State | undefined,
    found: (id: number, behind: State) => void,
  ): void {
    const visit = (node: number, at: State): void => {
      for (let next = this.child[node] as number; next >= 0; next = this.sibling[next] as number) {
        const behind = step(at, this.byte[next] as number);
        if (behind === undefined) continue;
        const ended = this.tokens[next];
        if (ended !== undefined) for (const id of ended) found(id, behind);
        if ((this.child[next] as number) >= 0) visit(next, behind);
      }
    };
    visit(0, start);
  }

  /** For every place in `bytes`, the fewest tokens that write the rest; Infinity where none do. */
  readonly fewest = (bytes: Uint8Array): Float64Array => {
    const result = new Float64Array(bytes.length + 1).fill(Number.POSITIVE_INFINITY);
    result[bytes.length] = 0;
    for (let at = bytes.length - 1; at >= 0; at--) {
      let node: number | undefined = 0;
      for (let end = at; end < bytes.length && node !== undefined; end++) {
        node = this.below(node, bytes[end] as number);
        if (node === undefined || this.tokens[node] === undefined) continue;
        result[at] = Math.min(result[at] as number, 1 + (result[end + 1] as number));
      }
    }
    return result;
  };
}
