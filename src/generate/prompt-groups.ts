/** Which prompts are read together. Knows lengths, and what reading costs. */

/** Prompts are padded to multiples of this, so that few shapes come up. */
const PROMPT_MULTIPLE = 16;

export const padded = (length: number): number => Math.ceil(length / PROMPT_MULTIPLE) * PROMPT_MULTIPLE;

/** What reading one more group costs beyond its tokens, in tokens (measured: 2.7 ms beside 0.07 ms a token). */
const GROUP_COST = 40;

/** Prompts that are read together, so that padding and groups cost least; the longest come first. */
export function grouped<T>(items: readonly T[], lengthOf: (item: T) => number): T[][] {
  const sorted = [...items].sort((a, b) => lengthOf(b) - lengthOf(a));
  // least[i]: the cost of the items from i on, and where the group that begins at i ends.
  const least = new Array<{ cost: number; end: number }>(sorted.length + 1);
  least[sorted.length] = { cost: 0, end: sorted.length };
  for (let i = sorted.length - 1; i >= 0; i--) {
    const each = padded(lengthOf(sorted[i] as T));
    let best = { cost: Number.POSITIVE_INFINITY, end: i + 1 };
    for (let end = i + 1; end <= sorted.length; end++) {
      const cost = GROUP_COST + (end - i) * each + (least[end] as { cost: number }).cost;
      if (cost < best.cost) best = { cost, end };
    }
    least[i] = best;
  }
  const groups: T[][] = [];
  for (let i = 0; i < sorted.length; i = (least[i] as { end: number }).end)
    groups.push(sorted.slice(i, (least[i] as { end: number }).end));
  return groups;
}
