/**
 * From streamed pieces to units that can be drawn: a unit is what has a place on the page, usually one
 * token; tokens that are only part of a character share one. Knows no colours, only levels.
 */
import type { Token } from '../api/generate.ts';

export interface Unit {
  text: string;
  tokens: readonly Token[];
}

/** Collects pieces; tokens wait until the text they belong to has come. */
export class UnitCollector {
  readonly units: Unit[] = [];
  #waiting: Token[] = [];

  /** Returns how many tokens came with the piece. */
  add(text: string, tokens: readonly Token[]): number {
    const all = [...this.#waiting, ...tokens];
    this.#waiting = [];
    if (text === '') {
      this.#waiting = all;
    } else if (all.length > 0 && all.map((token) => token.text).join('') === text) {
      for (const token of all) {
        if (token.text !== '') this.units.push({ text: token.text, tokens: [token] });
      }
    } else {
      this.units.push({ text, tokens: all });
    }
    return tokens.length;
  }

  get text(): string {
    return this.units.map((unit) => unit.text).join('');
  }
}

/** How sure the model was: 0 (nearly certain) to 4 (a surprise); undefined without probabilities. */
export type Level = 0 | 1 | 2 | 3 | 4;

/** Lowest probability of each level but the last. */
export const LEVEL_BOUNDS = [0.75, 0.4, 0.15, 0.04] as const;

export function levelOf(unit: Unit): Level | undefined {
  if (unit.tokens.length === 0) return undefined;
  const probability = Math.exp(unit.tokens.reduce((sum, token) => sum + token.logprob, 0));
  const found = LEVEL_BOUNDS.findIndex((bound) => probability >= bound);
  return (found === -1 ? 4 : found) as Level;
}

const NAMED: Record<string, string> = {
  ' ': '␣',
  '\n': '↵',
  '\t': '⇥',
  '\r': '␍',
};

/** A token's text with the invisible made visible; `bytes:` and U+FFFD stay as they came. */
export function visible(text: string): string {
  if (text === '') return '∅';
  return text.replace(/^[ ]|[ ]$|[\n\t\r]/g, (found) => NAMED[found] ?? found);
}

/** Mean natural-log surprise per token; undefined without probabilities. */
export function meanSurprise(units: readonly Unit[]): number | undefined {
  let sum = 0;
  let count = 0;
  for (const unit of units) {
    for (const token of unit.tokens) {
      sum -= token.logprob;
      count += 1;
    }
  }
  return count === 0 ? undefined : sum / count;
}
