/**
 * Regular expressions as automata over code points, for `pattern` and `format` in a schema: literals, classes,
 * groups, alternatives, quantifiers and the anchors at both ends. What looks around or back is refused.
 */
import { unsupported } from './schema-errors.ts';
import { bytesOfRange, type CharacterAutomaton } from './text-machines.ts';

type Range = readonly [number, number];
type Node =
  | { kind: 'set'; ranges: readonly Range[] }
  | { kind: 'sequence'; parts: readonly Node[] }
  | { kind: 'choice'; options: readonly Node[] }
  | { kind: 'repeat'; part: Node; from: number; to: number };

const TOP = 0x10ffff;
const DIGIT: Range[] = [[0x30, 0x39]];
const WORD: Range[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const SPACE: Range[] = [
  [9, 13],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const LINE_ENDS: Range[] = [
  [10, 10],
  [13, 13],
  [0x2028, 0x2029],
];
const CONTROL: Record<string, number> = { n: 10, r: 13, t: 9, f: 12, v: 11, '0': 0 };
/** Copies of a part that counting may make. */
const MOST_STATES = 20_000;

function without(ranges: readonly Range[]): Range[] {
  const result: Range[] = [];
  let next = 0;
  for (const [from, to] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (from > next) result.push([next, from - 1]);
    next = Math.max(next, to + 1);
  }
  if (next <= TOP) result.push([next, TOP]);
  return result;
}

function parse(source: string, path: string): { node: Node; open: { start: boolean; end: boolean } } {
  const points = [...source];
  let at = 0;
  const refuse = (what: string): never => {
    throw unsupported(
      path,
      `the pattern /${source}/: ${what} (at ${at})`,
      'patterns may have literals, classes, groups, | and quantifiers; ^ and $ at the ends',
    );
  };
  const more = (): boolean => at < points.length;
  const take = (): string => points[at++] ?? refuse('it ends too early');

  const escaped = (inClass: boolean): Range[] => {
    const letter = take();
    if (letter === 'd') return DIGIT;
    if (letter === 'D') return without(DIGIT);
    if (letter === 'w') return WORD;
    if (letter === 'W') return without(WORD);
    if (letter === 's') return SPACE;
    if (letter === 'S') return without(SPACE);
    if (letter === 'b' && inClass) return [[8, 8]];
    if (letter === 'x' || letter === 'u') {
      const braces = letter === 'u' && points[at] === '{';
      const length = letter === 'x' ? 2 : 4;
      const end = braces ? points.indexOf('}', at) : at + length;
      const digits = points.slice(braces ? at + 1 : at, end).join('');
      if (end < at || !/^[0-9a-fA-F]{1,6}$/.test(digits)) refuse('a wrong escape');
      at = braces ? end + 1 : end;
      const point = Number.parseInt(digits, 16);
      return [[point, point]];
    }
    const control = CONTROL[letter];
    if (control !== undefined) return [[control, control]];
    if (/[A-Za-z0-9]/.test(letter)) refuse(`\\${letter} is not understood`);
    const point = letter.codePointAt(0) as number;
    return [[point, point]];
  };
  const classOf = (): Node => {
    const negated = points[at] === '^';
    if (negated) at++;
    const ranges: Range[] = [];
    while (points[at] !== ']') {
      const one = (): Range[] => {
        const letter = take();
        if (letter === '\\') return escaped(true);
        const point = letter.codePointAt(0) as number;
        return [[point, point]];
      };
      const first = one();
      if (
        points[at] === '-' &&
        points[at + 1] !== ']' &&
        first.length === 1 &&
        first[0]?.[0] === first[0]?.[1]
      ) {
        at++;
        const last = one();
        const [from, to] = [first[0]?.[0] as number, last[0]?.[1] as number];
        if (last.length !== 1 || to < from) refuse('a wrong range');
        ranges.push([from, to]);
      } else ranges.push(...first);
    }
    at++;
    return { kind: 'set', ranges: negated ? without(ranges) : ranges };
  };
  const atom = (): Node => {
    const letter = take();
    if (letter === '.') return { kind: 'set', ranges: without(LINE_ENDS) };
    if (letter === '[') return classOf();
    if (letter === '(') {
      if (points[at] === '?') {
        if (points[at + 1] === ':') at += 2;
        else if (points[at + 1] === '<' && /[A-Za-z_]/.test(points[at + 2] ?? '') && points.includes('>', at))
          at = points.indexOf('>', at) + 1;
        else refuse('looking around is not supported');
      }
      const inner = alternatives();
      if (take() !== ')') refuse('a group is not closed');
      return inner;
    }
    if (letter === '\\') return { kind: 'set', ranges: escaped(false) };
    if ('*+?{'.includes(letter)) refuse('a quantifier with nothing before it');
    if (letter === '^' || letter === '$') refuse(`${letter} within the pattern is not supported`);
    const point = letter.codePointAt(0) as number;
    return { kind: 'set', ranges: [[point, point]] };
  };
  const quantified = (): Node => {
    const part = atom();
    const rest = points.slice(at).join('');
    const mark = /^(?:([*+?])|\{(\d+)(,(\d*))?\})/.exec(rest);
    if (mark === null) return part;
    at += mark[0].length;
    if (points[at] === '?') at++;
    const [, sign, low, comma, high] = mark;
    const from = sign === undefined ? Number(low) : sign === '+' ? 1 : 0;
    const to =
      sign === '?'
        ? 1
        : sign !== undefined || (comma !== undefined && high === '')
          ? Infinity
          : Number(comma === undefined ? low : high);
    if (from > MOST_STATES || (to > MOST_STATES && to < Infinity)) refuse('a count too large');
    if (to < from) refuse('a quantifier that cannot be met');
    return { kind: 'repeat', part, from, to };
  };
  const alternatives = (): Node => {
    const options: Node[] = [];
    do {
      const parts: Node[] = [];
      while (more() && points[at] !== '|' && points[at] !== ')') parts.push(quantified());
      options.push({ kind: 'sequence', parts });
    } while (points[at] === '|' && at++ >= 0);
    return options.length === 1 ? (options[0] as Node) : { kind: 'choice', options };
  };

  const start = points[0] === '^';
  const end = points[points.length - 1] === '$' && points[points.length - 2] !== '\\';
  if (start) at = 1;
  if (end) points.pop();
  const node = alternatives();
  if (more()) refuse('a ) too many');
  if ((start || end) && node.kind === 'choice') refuse('put the alternatives in a group, as in ^(?:a|b)$');
  return { node, open: { start: !start, end: !end } };
}

interface State {
  readonly free: number[];
  readonly moves: { ranges: readonly Range[]; to: number }[];
}

export interface PatternOptions {
  /** Characters at least and at most. */
  from?: number;
  to?: number;
  /** The whole text is to match, as if the pattern stood between ^ and $. */
  whole?: boolean;
  /** Where the pattern stands, for errors. */
  path?: string;
}

/** @throws InkstoneError `schema_unsupported` */
export function ofPattern(source: string, options: PatternOptions = {}): CharacterAutomaton {
  const { from = 0, to = Number.POSITIVE_INFINITY, whole = false, path = '' } = options;
  const { node, open } = parse(source, path);
  const tooLarge = (): never => {
    throw unsupported(path, `the pattern /${source}/ is too large`, 'use smaller counts');
  };
  let built = 0;
  const states: State[] = [];
  const add = (): number => {
    if (states.length > MOST_STATES) tooLarge();
    return states.push({ free: [], moves: [] }) - 1;
  };
  const link = (a: number, b: number): void => void states[a]?.free.push(b);
  /** Builds `part` behind `entry` and gives where it ends (Thompson's construction). */
  const build = (part: Node, entry: number): number => {
    if (++built > MOST_STATES) tooLarge();
    switch (part.kind) {
      case 'set': {
        const exit = add();
        states[entry]?.moves.push({ ranges: part.ranges, to: exit });
        return exit;
      }
      case 'sequence':
        return part.parts.reduce((state, one) => build(one, state), entry);
      case 'choice': {
        const exit = add();
        for (const option of part.options) {
          const begin = add();
          link(entry, begin);
          link(build(option, begin), exit);
        }
        return exit;
      }
      case 'repeat': {
        let state = entry;
        for (let i = 0; i < part.from; i++) state = build(part.part, state);
        if (part.to === Number.POSITIVE_INFINITY) {
          const loop = add();
          link(state, loop);
          link(build(part.part, loop), loop);
          return loop;
        }
        const exit = add();
        link(state, exit);
        for (let i = part.from; i < part.to; i++) {
          const begin = add();
          link(state, begin);
          state = build(part.part, begin);
          link(state, exit);
        }
        return exit;
      }
    }
  };
  const any: Node = { kind: 'repeat', part: { kind: 'set', ranges: [[0, TOP]] }, from: 0, to: Infinity };
  const entry = add();
  let last = open.start && !whole ? build(any, entry) : entry;
  last = build(node, last);
  if (open.end && !whole) last = build(any, last);
  return automaton(states, entry, last, { from, to, tooLarge });
}

interface StateSet {
  readonly members: readonly number[];
  readonly length: number;
}

/** The automaton of sets of states, made as it is walked; a length is counted beside it where one is asked for. */
function automaton(
  states: readonly State[],
  entry: number,
  last: number,
  { from, to, tooLarge }: { from: number; to: number; tooLarge(): never },
): CharacterAutomaton {
  const toEnd = distances(states, last);
  const counted = from > 0 || to < Number.POSITIVE_INFINITY;
  const sets: StateSet[] = [];
  const known = new Map<string, number>();
  const close = (members: readonly number[], length: number): number => {
    const all = new Set<number>();
    const stack = members.filter((one) => (toEnd[one] as number) < Number.POSITIVE_INFINITY);
    while (stack.length > 0) {
      const one = stack.pop() as number;
      if (all.has(one)) continue;
      all.add(one);
      stack.push(...(states[one] as State).free);
    }
    if (all.size === 0 || length > to) return -1;
    const sorted = [...all].sort((a, b) => a - b);
    const kept = counted ? (to === Number.POSITIVE_INFINITY ? Math.min(length, from) : length) : 0;
    const key = `${kept}:${sorted.join()}`;
    let at = known.get(key);
    if (at === undefined) {
      if (sets.length >= MOST_STATES) tooLarge();
      at = sets.push({ members: sorted, length: kept }) - 1;
      known.set(key, at);
    }
    return at;
  };
  const next = (state: number, point: number): number => {
    const { members, length } = sets[state] as StateSet;
    const reached = members.flatMap((one) =>
      (states[one] as State).moves
        .filter(({ ranges }) => ranges.some(([low, high]) => point >= low && point <= high))
        .map((move) => move.to),
    );
    return reached.length === 0 ? -1 : close(reached, length + 1);
  };
  const final = (state: number): boolean => {
    const { members, length } = sets[state] as StateSet;
    return members.includes(last) && length >= (counted ? from : 0);
  };
  /** Cuts at which what may come changes. */
  const cuts = (members: readonly number[], low: number, high: number): Range[] => {
    const points = new Set([low]);
    for (const one of members)
      for (const { ranges } of (states[one] as State).moves)
        for (const [a, b] of ranges) {
          if (a > low && a <= high) points.add(a);
          if (b + 1 > low && b + 1 <= high) points.add(b + 1);
        }
    // Where JSON's bytes for a character change.
    for (const edge of [0x20, 0x22, 0x23, 0x5c, 0x5d, 0x80, 0x800, 0xd800, 0xe000, 0x10000])
      if (edge > low && edge <= high) points.add(edge);
    const sorted = [...points].sort((a, b) => a - b);
    return sorted.map((point, i) => [point, (sorted[i + 1] ?? high + 1) - 1] as const);
  };
  const kept = new Map<number, number>();
  /** Without counting, the distance of the states; with it, a search over the sets. */
  const least = (state: number): number => {
    if (state < 0) return Number.POSITIVE_INFINITY;
    const { members } = sets[state] as StateSet;
    if (!counted) return Math.min(...members.map((one) => toEnd[one] as number));
    const before = kept.get(state);
    if (before !== undefined) return before;
    const found = search(state);
    kept.set(state, found);
    return found;
  };
  /** Dijkstra's, with a list of states for each distance. */
  const search = (state: number): number => {
    const best = new Map<number, number>([[state, 0]]);
    const open: number[][] = [[state]];
    for (let distance = 0; distance < open.length; distance++)
      for (const one of open[distance] ?? []) {
        if (best.get(one) !== distance) continue;
        if (final(one)) return distance;
        for (const [low, high] of cuts((sets[one] as StateSet).members, 0, TOP)) {
          if (low >= 0xd800 && low <= 0xdfff) continue;
          const to = next(one, low);
          const cost = distance + bytesOfRange(low, high);
          if (to < 0 || cost >= (best.get(to) ?? Number.POSITIVE_INFINITY)) continue;
          best.set(to, cost);
          open[cost] ??= [];
          open[cost].push(to);
        }
      }
    return Number.POSITIVE_INFINITY;
  };
  const start = close([entry], 0);
  return {
    start,
    next: (state, point) => {
      const to = next(state, point);
      return to < 0 || least(to) === Number.POSITIVE_INFINITY ? -1 : to;
    },
    final,
    least,
    leastAfter: (state, low, high) =>
      low > high
        ? Number.POSITIVE_INFINITY
        : Math.min(
            ...cuts((sets[state] as StateSet).members, low, high).map(([point]) => least(next(state, point))),
          ),
  };
}

/** Bytes from each state to the end: relaxed until nothing changes. */
function distances(states: readonly State[], last: number): number[] {
  const result = states.map(() => Number.POSITIVE_INFINITY);
  result[last] = 0;
  const before: { from: number; cost: number }[][] = states.map(() => []);
  states.forEach(({ free, moves }, from) => {
    for (const to of free) before[to]?.push({ from, cost: 0 });
    for (const { ranges, to } of moves) {
      const usable = ranges.flatMap(([low, high]): Range[] => [
        [low, Math.min(high, 0xd7ff)],
        [Math.max(low, 0xe000), high],
      ]);
      const costs = usable.filter(([low, high]) => low <= high).map(([low, high]) => bytesOfRange(low, high));
      if (costs.length > 0) before[to]?.push({ from, cost: Math.min(...costs) });
    }
  });
  const queue = [last];
  for (let to = queue.shift(); to !== undefined; to = queue.shift())
    for (const { from, cost } of before[to] as { from: number; cost: number }[])
      if ((result[to] as number) + cost < (result[from] as number)) {
        result[from] = (result[to] as number) + cost;
        queue.push(from);
      }
  return result;
}
