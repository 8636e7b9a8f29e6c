/** Which alerts wait, fire and are over: one step at a time, from the last state, the history and the time. Pure. */
import { evaluate, holds, type Series } from './expression.ts';
import type { Rule, Severity } from './rules.ts';

export interface AlertState {
  rule: string;
  severity: Severity;
  summary: string;
  hint: string;
  state: 'pending' | 'firing' | 'resolved';
  /** Milliseconds since 1970: since when the condition holds, since when it fires, when it was over. */
  since: number;
  fired?: number;
  ended?: number;
  /** The value that the rule looks at first. */
  value: number;
}

/** Milliseconds that an alert which is over is still shown. */
const SHOWN = 3_600_000;

export function step(
  rules: readonly Rule[],
  before: readonly AlertState[],
  series: Series,
  now: number,
): AlertState[] {
  const last = new Map(before.map((one) => [one.rule, one]));
  const next: AlertState[] = [];
  for (const { id: rule, severity, summary, hint, for: lasting, when } of rules) {
    const old = last.get(rule);
    const first = when[0];
    const value = first === undefined ? Number.NaN : evaluate(first.value, series);
    const common = { rule, severity, summary, hint, value };
    if (when.every((condition) => holds(condition, series))) {
      const since = old === undefined || old.state === 'resolved' ? now : old.since;
      const fired = old?.state === 'firing' ? old.fired : now - since >= lasting * 1000 ? now : undefined;
      next.push(
        fired === undefined
          ? { ...common, state: 'pending', since }
          : { ...common, state: 'firing', since, fired },
      );
    } else if (old?.state === 'firing') next.push({ ...old, value, state: 'resolved', ended: now });
    else if (old?.state === 'resolved' && now - (old.ended ?? 0) < SHOWN) next.push(old);
  }
  return next;
}
