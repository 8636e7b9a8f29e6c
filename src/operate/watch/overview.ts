/** What the studio's room of live numbers shows: a point every look, for the last while, and the state now. */

import { type Expression, evaluate } from './alerts/expression.ts';
import { History, sampleOf } from './alerts/history.ts';
import { METRICS } from './definitions.ts';
import type { Reading } from './metrics.ts';

const MINUTE = 60;
const perSecond = (name: string): Expression => ({
  ...{ kind: 'divide', of: { kind: 'increase', name, window: MINUTE }, by: MINUTE },
});
const quantile = (name: string, q: number): Expression => ({ kind: 'quantile', name, q, window: 5 * MINUTE });

/** Seconds unless the name says otherwise. */
export const LINES = {
  running: { kind: 'gauge', name: METRICS.running.name, over: 'sum' },
  waiting: { kind: 'gauge', name: METRICS.waiting.name, over: 'sum' },
  requestsPerSecond: perSecond(METRICS.requests.name),
  tokensPerSecond: perSecond(METRICS.generationTokens.name),
  rejectionsPerSecond: perSecond(METRICS.rejections.name),
  firstToken50: quantile(METRICS.firstToken.name, 0.5),
  firstToken95: quantile(METRICS.firstToken.name, 0.95),
  betweenTokens95: quantile(METRICS.betweenTokens.name, 0.95),
  queueAge: { kind: 'gauge', name: METRICS.queueAge.name, over: 'max' },
  memoryUsed: { kind: 'gauge', name: METRICS.memoryUsed.name, over: 'max' },
  diskUsed: { kind: 'gauge', name: METRICS.diskUsed.name, over: 'max' },
} as const satisfies Record<string, Expression>;

/** `at` in milliseconds since 1970; null where nothing is known. */
export type Point = { at: number } & Record<keyof typeof LINES, number | null>;

const WANTED = Object.values(LINES);
const MOST_POINTS = 240;

export class Overview {
  private readonly history = new History();
  private readonly kept: Point[] = [];

  look(at: number, readings: readonly Reading[]): void {
    this.history.add(at, sampleOf(readings, WANTED));
    const values = Object.entries(LINES).map(([name, expression]) => {
      const value = evaluate(expression, this.history);
      return [name, Number.isFinite(value) ? value : null];
    });
    this.kept.push({ at, ...Object.fromEntries(values) });
    if (this.kept.length > MOST_POINTS) this.kept.shift();
  }

  get points(): readonly Point[] {
    return this.kept;
  }
}
