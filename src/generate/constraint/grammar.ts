/**
 * What may still be written, byte by byte: a grammar of fixed bytes, small machines, choices and sequences, followed
 * along every reading at once. Positions are made once and shared, so that what belongs to a position can be kept
 * with it. Knows bytes; knows neither JSON nor tokens.
 */

/** A finite machine over bytes. */
export interface Machine {
  readonly start: number;
  /** The state behind `byte`, -1 where it may not come. */
  next(state: number, byte: number): number;
  /** Whether it may end here. */
  final(state: number): boolean;
  /** Bytes to the nearest end; Infinity where there is none. */
  least(state: number): number;
}

export type Grammar =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'machine'; readonly machine: Machine }
  | { readonly kind: 'choice'; readonly options: readonly Grammar[] }
  | { readonly kind: 'sequence'; readonly parts: readonly Grammar[] }
  | Lazy;

/** A part that is made when it is reached: recursion, and what repeats. */
export interface Lazy {
  readonly kind: 'lazy';
  readonly open: () => Grammar;
}

const encoder = new TextEncoder();
export const bytes = (text: string): Grammar => ({ kind: 'bytes', bytes: encoder.encode(text) });
export const machine = (one: Machine): Grammar => ({ kind: 'machine', machine: one });
export const choice = (...options: readonly Grammar[]): Grammar => ({ kind: 'choice', options });
export const sequence = (...parts: readonly Grammar[]): Grammar => ({ kind: 'sequence', parts });
export const lazy = (open: () => Grammar): Lazy => {
  let made: Grammar | undefined;
  return {
    kind: 'lazy',
    open: () => {
      made ??= open();
      return made;
    },
  };
};

/** For every place in some bytes, and behind them: tokens that the rest takes at least; Infinity: it cannot be written. */
export type Measure = (bytes: Uint8Array) => ArrayLike<number>;
const aByteEach: Measure = (bytes) =>
  Int32Array.from({ length: bytes.length + 1 }, (_, i) => bytes.length - i);

/**
 * How many tokens the shortest way through each part of a grammar takes: fixed bytes as measured, machines a byte
 * each. Infinity: nothing fits it.
 */
export class Lengths {
  readonly root: Grammar;
  private readonly measure: Measure;
  private readonly literals = new Map<Grammar, ArrayLike<number>>();
  private readonly repeats = new Map<Lazy, number>();
  private readonly known = new Map<Grammar, number>();
  private settled = false;

  constructor(root: Grammar, measure: Measure = aByteEach) {
    this.root = root;
    this.measure = measure;
    const walk = (grammar: Grammar): void => {
      if (grammar.kind === 'choice') grammar.options.forEach(walk);
      else if (grammar.kind === 'sequence') grammar.parts.forEach(walk);
      else if (grammar.kind === 'lazy' && !this.repeats.has(grammar)) {
        this.repeats.set(grammar, Number.POSITIVE_INFINITY);
        walk(grammar.open());
      }
    };
    walk(root);
    for (let changed = true; changed; ) {
      changed = false;
      // What was made last stands nearest to the leaves.
      for (const one of [...this.repeats.keys()].reverse()) {
        const least = this.of(one.open());
        if (least >= (this.repeats.get(one) as number)) continue;
        this.repeats.set(one, least);
        changed = true;
      }
    }
    this.settled = true;
  }

  of(grammar: Grammar): number {
    const known = this.known.get(grammar);
    if (known !== undefined) return known;
    const found = this.found(grammar);
    if (this.settled) this.known.set(grammar, found);
    return found;
  }

  private found(grammar: Grammar): number {
    switch (grammar.kind) {
      case 'bytes':
        return this.rest(grammar, 0);
      case 'machine':
        return grammar.machine.least(grammar.machine.start);
      case 'choice':
        return grammar.options.reduce(
          (least, one) => Math.min(least, this.of(one)),
          Number.POSITIVE_INFINITY,
        );
      case 'sequence':
        return grammar.parts.reduce((sum, part) => sum + this.of(part), 0);
      case 'lazy':
        return this.repeats.get(grammar) ?? this.of(grammar.open());
    }
  }

  /** What is left of fixed bytes from a place on. */
  rest(literal: Extract<Grammar, { kind: 'bytes' }>, at: number): number {
    let costs = this.literals.get(literal);
    if (costs === undefined) {
      costs = this.measure(literal.bytes);
      this.literals.set(literal, costs);
    }
    return costs[at] as number;
  }
}

/** What comes after the part that is being read. */
interface Stack {
  readonly id: number;
  readonly part: Grammar;
  readonly below: Stack | undefined;
  /** Tokens it takes at least, all the way down. */
  readonly least: number;
}

/** One reading: how far into which part. */
interface Reading {
  readonly id: number;
  readonly part: Extract<Grammar, { kind: 'bytes' | 'machine' }>;
  /** Index of the next byte, or the machine's state. */
  readonly at: number;
  readonly rest: Stack | undefined;
  readonly least: number;
}

export interface Position {
  readonly id: number;
  readonly readings: readonly Reading[];
  /** The document may end here. */
  readonly done: boolean;
  /** Tokens to the nearest end, at most. */
  readonly least: number;
  readonly after: Map<number, Position | undefined>;
}

/** Follows one grammar. Positions with the same readings are the same object. */
export class Follower {
  readonly start: Position;
  private readonly lengths: Lengths;
  private readonly ids = new Map<object, number>();
  private readonly stacks = new Map<string, Stack>();
  private readonly readings = new Map<string, Reading>();
  private readonly positions = new Map<string, Position>();

  constructor(lengths: Lengths) {
    this.lengths = lengths;
    const { root } = lengths;
    const found = new Map<number, Reading>();
    const done = this.enter(root, undefined, found, new Set());
    this.start = this.position(found, done) as Position;
  }

  /** Positions made so far: memory that grows with what was written. */
  get size(): number {
    return this.positions.size;
  }

  /** The position behind `byte`; undefined where it may not come. */
  next(position: Position, byte: number): Position | undefined {
    if (position.after.has(byte)) return position.after.get(byte);
    const found = new Map<number, Reading>();
    let done = false;
    for (const { part, at, rest } of position.readings) {
      if (part.kind === 'bytes') {
        if (part.bytes[at] !== byte) continue;
        if (at + 1 < part.bytes.length) this.add(found, part, at + 1, rest);
        else done = this.leave(rest, found) || done;
      } else {
        const state = part.machine.next(at, byte);
        if (state < 0) continue;
        this.add(found, part, state, rest);
        if (part.machine.final(state)) done = this.leave(rest, found) || done;
      }
    }
    const result = this.position(found, done);
    position.after.set(byte, result);
    return result;
  }

  private leave(rest: Stack | undefined, found: Map<number, Reading>): boolean {
    return rest === undefined ? true : this.enter(rest.part, rest.below, found, new Set());
  }

  /** Adds the readings that begin with `part`; true where the end is reached without a byte. */
  private enter(
    part: Grammar,
    rest: Stack | undefined,
    found: Map<number, Reading>,
    seen: Set<string>,
  ): boolean {
    switch (part.kind) {
      case 'bytes':
        if (part.bytes.length > 0) return this.add(found, part, 0, rest);
        return rest === undefined || this.enter(rest.part, rest.below, found, seen);
      case 'machine': {
        const { start } = part.machine;
        this.add(found, part, start, rest);
        if (!part.machine.final(start)) return false;
        return rest === undefined || this.enter(rest.part, rest.below, found, seen);
      }
      case 'choice': {
        let done = false;
        for (const option of part.options) done = this.enter(option, rest, found, seen) || done;
        return done;
      }
      case 'sequence': {
        const [first, ...others] = part.parts;
        if (first === undefined) return rest === undefined || this.enter(rest.part, rest.below, found, seen);
        let stack = rest;
        for (const other of others.toReversed()) stack = this.stack(other, stack);
        return this.enter(first, stack, found, seen);
      }
      case 'lazy': {
        // A part that leads to itself without a byte adds nothing the second time.
        const key = `${this.idOf(part)}.${rest?.id ?? 0}`;
        if (seen.has(key)) return false;
        seen.add(key);
        return this.enter(part.open(), rest, found, seen);
      }
    }
  }

  private add(
    found: Map<number, Reading>,
    part: Reading['part'],
    at: number,
    rest: Stack | undefined,
  ): boolean {
    const key = `${this.idOf(part)}.${at}.${rest?.id ?? 0}`;
    let reading = this.readings.get(key);
    if (reading === undefined) {
      const own = part.kind === 'bytes' ? this.lengths.rest(part, at) : part.machine.least(at);
      reading = { id: this.readings.size + 1, part, at, rest, least: own + (rest?.least ?? 0) };
      this.readings.set(key, reading);
    }
    if (reading.least < Number.POSITIVE_INFINITY) found.set(reading.id, reading);
    return false;
  }

  private stack(part: Grammar, below: Stack | undefined): Stack {
    const key = `${this.idOf(part)}.${below?.id ?? 0}`;
    let stack = this.stacks.get(key);
    if (stack === undefined) {
      stack = { id: this.stacks.size + 1, part, below, least: this.lengths.of(part) + (below?.least ?? 0) };
      this.stacks.set(key, stack);
    }
    return stack;
  }

  private position(found: Map<number, Reading>, done: boolean): Position | undefined {
    if (found.size === 0 && !done) return undefined;
    const readings = [...found.values()].sort((a, b) => a.id - b.id);
    const key = `${done}${readings.map(({ id }) => id).join()}`;
    let position = this.positions.get(key);
    if (position === undefined) {
      const least = done ? 0 : Math.min(...readings.map((one) => one.least));
      position = { id: this.positions.size, readings, done, least, after: new Map() };
      this.positions.set(key, position);
    }
    return position;
  }

  private idOf(part: Grammar): number {
    let id = this.ids.get(part);
    if (id === undefined) {
      id = this.ids.size + 1;
      this.ids.set(part, id);
    }
    return id;
  }
}

/** Whether a whole text fits a grammar. */
export function accepts(grammar: Grammar, text: string): boolean {
  const follower = new Follower(new Lengths(grammar));
  let position: Position | undefined = follower.start;
  for (const byte of encoder.encode(text)) {
    position = follower.next(position, byte);
    if (position === undefined) return false;
  }
  return position.done;
}
