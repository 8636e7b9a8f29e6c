/** Tokens of an inspection as units that can be drawn, and what stands out among them. Knows no words. */
import type { Token } from '../api/generate.ts';
import type { InspectedToken } from '../api/types.ts';
import { type Level, type Unit, visible } from '../playground/tokens.ts';

/** Highest surprise of each level but the last, in nats. */
export const SURPRISE_BOUNDS = [1, 2, 4, 6] as const;

/** 0 (expected) to 4 (a shock); undefined where nothing was predicted. */
export function surpriseLevel(unit: Unit): Level | undefined {
  if (unit.tokens.length === 0) return undefined;
  const nats = -unit.tokens.reduce((sum, token) => sum + token.logprob, 0);
  const found = SURPRISE_BOUNDS.findIndex((bound) => nats <= bound);
  return (found === -1 ? 4 : found) as Level;
}

function tokenOf({ token, surprise, rank, top_logprobs }: InspectedToken): Token {
  return {
    text: token,
    logprob: -(surprise ?? 0),
    top: top_logprobs.map((other) => ({ text: nameOf(other), logprob: other.logprob })),
    ...(rank === null ? {} : { rank }),
  };
}

/** A unit for each token, but one for all the tokens of a character. Marks of the model's own are left out. */
export function unitsOf(tokens: readonly InspectedToken[]): Unit[] {
  const units: Unit[] = [];
  let waiting: Token[] = [];
  for (const token of tokens) {
    if (token.bytes.length === 0) continue;
    const known = token.surprise === null ? [] : [tokenOf(token)];
    waiting.push(...known);
    if (token.text === '') continue;
    units.push({ text: token.text, tokens: waiting });
    waiting = [];
  }
  return units;
}

/** A token as it is named: its text with spaces made visible, or its bytes where they are no text. */
export function nameOf({ token, bytes }: { token: string; bytes: readonly number[] }): string {
  if (!token.includes('\ufffd')) return token;
  return `‹${bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, '0')).join(' ')}›`;
}

export const labelOf = (token: { token: string; bytes: readonly number[] }): string => visible(nameOf(token));

/** Places of the tokens that surprised most, the greatest first. */
export function mostSurprising(tokens: readonly InspectedToken[], count: number): number[] {
  return tokens
    .map(({ surprise }, at) => ({ surprise, at }))
    .filter((one): one is { surprise: number; at: number } => one.surprise !== null)
    .sort((one, other) => other.surprise - one.surprise || one.at - other.at)
    .slice(0, count)
    .map(({ at }) => at);
}
