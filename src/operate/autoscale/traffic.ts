/**
 * Traffic as it was recorded, a line of JSON for each request: when it came, how many tokens it read and wrote. And a
 * day made up from a seed, for who has no recording: quiet nights, two peaks, bursts. Knows no servers.
 */
import { InkstoneError } from '../../base/errors.ts';
import { Random } from '../../base/rng.ts';

export interface Arrival {
  /** Seconds from the beginning of the recording. */
  at: number;
  /** Tokens. */
  prompt: number;
  answer: number;
}

/** A line of a recording, or of the server's own log of requests (`time`, `ms`, `prompt_tokens`, `completion_tokens`). */
function arrivalOf(line: string): Arrival | 'other' | undefined {
  let one: Record<string, unknown>;
  try {
    one = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  if (typeof one !== 'object' || one === null) return undefined;
  if (typeof one.time === 'string' && 'message' in one) {
    const { time, ms, prompt_tokens: prompt, completion_tokens: answer } = one;
    if (typeof ms !== 'number' || typeof prompt !== 'number' || typeof answer !== 'number') return 'other';
    return { at: (Date.parse(time) - ms) / 1000, prompt, answer };
  }
  const { at, prompt, answer } = one;
  const numbers = [at, prompt, answer].every((value) => typeof value === 'number' && value >= 0);
  return numbers ? { at: at as number, prompt: prompt as number, answer: answer as number } : undefined;
}

/** @param text lines of JSON; other lines of a log are passed over. @throws InkstoneError `traffic_invalid` naming the line */
export function readTraffic(text: string): Arrival[] {
  const found: Arrival[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const one = arrivalOf(line);
    if (one === undefined || (one !== 'other' && !Number.isFinite(one.at)))
      throw new InkstoneError('traffic_invalid', `line ${index + 1} is no request`, {
        kind: 'data',
        hint: 'a line is {"at": seconds, "prompt": tokens, "answer": tokens}, or one of the log of `inkstone serve`',
      });
    if (one !== 'other') found.push(one);
  }
  if (found.length === 0)
    throw new InkstoneError('traffic_invalid', 'there is no request in it', { kind: 'data' });
  found.sort((a, b) => a.at - b.at);
  const first = (found[0] as Arrival).at;
  return found.map((one) => ({ ...one, at: one.at - first }));
}

export const writeTraffic = (arrivals: readonly Arrival[]): string =>
  arrivals.map((one) => `${JSON.stringify(one)}\n`).join('');

export interface DayOptions {
  seed: number;
  /** Requests a second in the mean of the day. */
  rate: number;
  /** Seconds; a day by default. */
  length?: number;
}

const DAY = 86_400;

/**
 * An inhomogeneous Poisson process by thinning (Lewis and Shedler 1979): a night at a tenth of the mean, peaks late in
 * the morning and in the evening, and a few bursts of a quarter to three quarters of an hour at twice the rate. Lengths are log-normal.
 */
export function madeUpDay({ seed, rate, length = DAY }: DayOptions): Arrival[] {
  const random = new Random(seed, 'traffic');
  const bursts = Array.from({ length: 4 }, () => ({
    from: (0.3 + 0.6 * random.uniform()) * DAY,
    length: 900 + 1800 * random.uniform(),
  }));
  const hump = (hour: number, at: number, width: number): number => Math.exp(-(((hour - at) / width) ** 2));
  const shape = (second: number): number => {
    const hour = second / 3600;
    const base = 0.1 + 1.9 * hump(hour, 11, 2.6) + 1.6 * hump(hour, 16, 2.4) + 1.2 * hump(hour, 20.5, 1.8);
    return bursts.some(({ from, length: lasts }) => second >= from && second < from + lasts)
      ? 2 * base
      : base;
  };
  let total = 0;
  let most = 0;
  for (let second = 0; second < DAY; second += 30) {
    total += shape(second) * 30;
    most = Math.max(most, shape(second));
  }
  const scale = (rate * DAY) / total;
  const tokens = (median: number, spread: number): number =>
    Math.max(1, Math.round(median * Math.exp(spread * random.normal())));
  const found: Arrival[] = [];
  // The day is run through faster where `length` is shorter; the number of requests is that of `rate` over `length`.
  const stretch = length / DAY;
  for (let at = 0; ; ) {
    at -= Math.log(1 - random.uniform()) / (scale * most);
    if (at >= length) return found;
    if (random.uniform() * most > shape(at / stretch)) continue;
    found.push({ at, prompt: tokens(180, 0.8), answer: tokens(90, 0.6) });
  }
}
