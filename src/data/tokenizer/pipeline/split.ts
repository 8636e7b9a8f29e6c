/** Cuts a text at what a pattern matches, in the ways that tokenizer.json knows. Knows no tokenizer. */

export const SPLIT_BEHAVIOURS = [
  'Removed',
  'Isolated',
  'MergedWithPrevious',
  'MergedWithNext',
  'Contiguous',
] as const;
export type SplitBehaviour = (typeof SPLIT_BEHAVIOURS)[number];

interface Part {
  start: number;
  end: number;
  match: boolean;
}

/** The text as an unbroken row of matches and what lies between them. */
export function partsOf(text: string, pattern: RegExp): Part[] {
  const parts: Part[] = [];
  let last = 0;
  for (const found of text.matchAll(pattern)) {
    const start = found.index;
    const end = start + found[0].length;
    if (end === start) continue;
    if (start > last) parts.push({ start: last, end: start, match: false });
    parts.push({ start, end, match: true });
    last = end;
  }
  if (last < text.length) parts.push({ start: last, end: text.length, match: false });
  return parts;
}

/** @param pattern with the flag `g` @param invert what does not match counts as the match */
export function split(text: string, pattern: RegExp, behaviour: SplitBehaviour, invert = false): string[] {
  const parts = partsOf(text, pattern).map((part) => ({ ...part, match: part.match !== invert }));
  const whole = (list: readonly Part[]): string[] => list.map(({ start, end }) => text.slice(start, end));
  switch (behaviour) {
    case 'Isolated':
      return whole(parts);
    case 'Removed':
      return whole(parts.filter(({ match }) => !match));
    case 'Contiguous': {
      const made: Part[] = [];
      for (const part of parts) {
        const last = made.at(-1);
        if (last !== undefined && last.match === part.match) last.end = part.end;
        else made.push({ ...part });
      }
      return whole(made);
    }
    case 'MergedWithPrevious': {
      const made: Part[] = [];
      let before = false;
      for (const part of parts) {
        const last = made.at(-1);
        if (part.match && !before && last !== undefined) last.end = part.end;
        else made.push({ ...part });
        before = part.match;
      }
      return whole(made);
    }
    case 'MergedWithNext': {
      const made: Part[] = [];
      let before = false;
      for (const part of [...parts].reverse()) {
        const last = made.at(-1);
        if (part.match && !before && last !== undefined) last.start = part.start;
        else made.push({ ...part });
        before = part.match;
      }
      return whole(made.reverse());
    }
  }
}

/** A pattern that matches a text itself. */
export const literal = (text: string): RegExp =>
  new RegExp(
    text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, (c) => `\\${c}`),
    'gu',
  );
