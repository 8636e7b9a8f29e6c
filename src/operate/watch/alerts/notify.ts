/**
 * Who is told what and when: alerts of one severity go together, new ones wait a moment for others, what lasts is repeated, what is
 * silenced is not told. Knows no network; time is given.
 */
import type { Severity } from './rules.ts';
import type { AlertState } from './state.ts';

export interface Silence {
  id: string;
  /** Name of a rule; `*` at its end for all that begin so. */
  rule: string;
  /** Milliseconds since 1970. */
  until: number;
  comment: string;
  by: string;
}

export interface Grouping {
  /** Seconds: before the first word of a group, between two of them, until it is said again. */
  wait: number;
  interval: number;
  repeat: number;
}

export const GROUPING: Grouping = { wait: 30, interval: 300, repeat: 4 * 3600 };

export interface Notification {
  severity: Severity;
  status: 'firing' | 'resolved';
  firing: readonly AlertState[];
  resolved: readonly AlertState[];
}

interface Group {
  /** When its first untold alert came. */
  waiting: number | undefined;
  told: number;
  /** Alerts that were told as firing, by rule and the time they fired. */
  known: Map<string, number>;
}

export function isSilenced(rule: string, silences: readonly Silence[], now: number): boolean {
  return silences.some(
    ({ rule: pattern, until }) =>
      until > now && (pattern === rule || (pattern.endsWith('*') && rule.startsWith(pattern.slice(0, -1)))),
  );
}

export class Notifier {
  private readonly groups = new Map<Severity, Group>();
  private readonly grouping: Grouping;

  constructor(grouping: Grouping = GROUPING) {
    this.grouping = grouping;
  }

  /** What is to be told now. */
  take(states: readonly AlertState[], silences: readonly Silence[], now: number): Notification[] {
    const found: Notification[] = [];
    for (const severity of ['page', 'ticket'] as const) {
      const own = states.filter((one) => one.severity === severity && !isSilenced(one.rule, silences, now));
      const told = this.group(severity, own, now);
      if (told !== undefined) found.push(told);
    }
    return found;
  }

  private group(severity: Severity, states: readonly AlertState[], now: number): Notification | undefined {
    const group = this.groups.get(severity) ?? { waiting: undefined, told: 0, known: new Map() };
    this.groups.set(severity, group);
    const firing = states.filter(({ state }) => state === 'firing');
    const fresh = firing.filter(({ rule, fired }) => group.known.get(rule) !== fired);
    const over = states.filter(({ rule, state }) => state === 'resolved' && group.known.has(rule));
    if (fresh.length > 0 || over.length > 0) group.waiting ??= now;
    else group.waiting = undefined;
    const { wait, interval, repeat } = this.grouping;
    const since = now - group.told;
    // The first word of a group waits for others; later ones keep their distance.
    const changed =
      group.waiting !== undefined &&
      (group.known.size === 0 ? now - group.waiting >= wait * 1000 : since >= interval * 1000);
    const again = firing.length > 0 && group.known.size > 0 && since >= repeat * 1000;
    if (!changed && !again) return undefined;
    group.waiting = undefined;
    group.told = now;
    group.known = new Map(firing.map(({ rule, fired }) => [rule, fired ?? 0]));
    return { severity, status: firing.length > 0 ? 'firing' : 'resolved', firing, resolved: over };
  }
}
