/** The rules: what is wrong, how long it must last, who is woken. From objectives that the operator sets. Evaluates nothing. */
import { METRICS } from '../definitions.ts';
import type { Condition, Expression } from './expression.ts';

export type Severity = 'page' | 'ticket';

export interface Rule {
  id: string;
  severity: Severity;
  /** Seconds that it must hold. */
  for: number;
  /** All of them. */
  when: readonly Condition[];
  summary: string;
  /** What to look at first. */
  hint: string;
}

export interface Objectives {
  /** Share of requests that the server must not fail. */
  availability: number;
  /** Seconds within which 95 of 100 first tokens come. */
  firstToken: number;
  /** Seconds that a request may wait. */
  queueAge: number;
  /** Seconds. */
  backupAge: number;
  /** Population stability index; above .25 traffic has changed (Siddiqi 2006). */
  drift: number;
}

export const OBJECTIVES: Objectives = {
  ...{ availability: 0.999, firstToken: 2, queueAge: 30, backupAge: 26 * 3600, drift: 0.25 },
};

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;

const gauge = (name: string, over: 'sum' | 'max' = 'max'): Expression => ({ kind: 'gauge', name, over });
const increase = (name: string, window: number): Expression => ({ kind: 'increase', name, window });
const divide = (of: Expression, by: Expression | number): Expression => ({ kind: 'divide', of, by });

/** Google's "Site Reliability Workbook", ch. 5: how many times faster than allowed errors come, over a long and a short window. */
function burn(objective: number, window: number): Expression {
  const failed = increase(METRICS.failures.name, window);
  return divide(divide(failed, increase(METRICS.requests.name, window)), round(1 - objective));
}

/** 1 − .999 is .001 to people. */
const round = (x: number): number => Number(x.toPrecision(12));

function burnRule(
  id: string,
  severity: Severity,
  times: number,
  windows: readonly [number, number],
  { availability }: Objectives,
): Rule {
  return {
    ...{ id, severity, for: 0 },
    when: windows.map((window) => ({ value: burn(availability, window), above: times })),
    summary: `The error budget burns ${times} times as fast as it may`,
    hint: 'Look at the log for what fails, and at what was changed last; roll back a new model version.',
  };
}

export function rulesFor(given: Partial<Objectives> = {}): Rule[] {
  const objectives = { ...OBJECTIVES, ...given };
  const { firstToken, queueAge, backupAge, drift } = objectives;
  return [
    burnRule('ErrorBudgetBurnsFast', 'page', 14.4, [HOUR, 5 * MINUTE], objectives),
    burnRule('ErrorBudgetBurns', 'page', 6, [6 * HOUR, 30 * MINUTE], objectives),
    burnRule('ErrorBudgetBurnsSlowly', 'ticket', 1, [3 * DAY, 6 * HOUR], objectives),
    {
      ...{ id: 'RequestsWaitWithoutTokens', severity: 'page', for: MINUTE },
      when: [
        { value: gauge(METRICS.waiting.name, 'sum'), above: 0 },
        { value: increase(METRICS.generationTokens.name, MINUTE), equals: 0 },
      ],
      summary: 'Requests wait, and no token comes',
      hint: 'A model’s process hangs or loads for long: look at replicas and their log, restart the replica.',
    },
    {
      ...{ id: 'FirstTokenLate', severity: 'page', for: 5 * MINUTE },
      when: [
        {
          value: { kind: 'quantile', name: METRICS.firstToken.name, q: 0.95, window: 5 * MINUTE },
          above: firstToken,
        },
      ],
      summary: `More than 5 of 100 first tokens take longer than ${firstToken} s`,
      hint: 'Look at the queue and at the length of prompts; add replicas or lower the limits of the greediest key.',
    },
    {
      ...{ id: 'CacheNearlyFull', severity: 'ticket', for: MINUTE },
      when: [{ value: gauge(METRICS.cacheUsage.name), above: 0.9 }],
      summary: 'Over 90 % of the memory for keys and values is used',
      hint: 'Raise --cache-megabytes, or let fewer sequences run together.',
    },
    {
      ...{ id: 'SequencesPreempted', severity: 'ticket', for: 0 },
      when: [{ value: increase(METRICS.preemptions.name, 5 * MINUTE), above: 0 }],
      summary: 'Sequences step back for want of memory and are read again',
      hint: 'Raise --cache-megabytes, or lower --concurrency.',
    },
    {
      ...{ id: 'RequestsRejected', severity: 'ticket', for: 5 * MINUTE },
      when: [
        {
          value: divide(
            increase(METRICS.rejections.name, 5 * MINUTE),
            increase(METRICS.requests.name, 5 * MINUTE),
          ),
          above: 0.01,
        },
      ],
      summary: 'More than 1 of 100 requests is turned away',
      hint: 'See for which reason: a full queue wants replicas, limits of keys want a talk.',
    },
    {
      ...{ id: 'QueueOld', severity: 'page', for: MINUTE },
      when: [{ value: gauge(METRICS.queueAge.name), above: queueAge }],
      summary: `A request has waited longer than ${queueAge} s`,
      hint: 'Look at running requests and replicas; add replicas.',
    },
    {
      ...{ id: 'ReplicaRestarts', severity: 'page', for: 0 },
      when: [{ value: increase(METRICS.restarts.name, 10 * MINUTE), above: 3 }],
      summary: 'Models’ processes ended more than three times in ten minutes',
      hint: 'Look at the log for status and signal: 137 or SIGKILL is memory.',
    },
    {
      ...{ id: 'MemoryNearlyFull', severity: 'page', for: 5 * MINUTE },
      when: [{ value: gauge(METRICS.memoryUsed.name), above: 0.85 }],
      summary: 'Over 85 % of the machine’s memory is used',
      hint: 'Lower --max-models or keep weights in 8 bits.',
    },
    {
      ...{ id: 'DiskNearlyFull', severity: 'page', for: 5 * MINUTE },
      when: [{ value: gauge(METRICS.diskUsed.name), above: 0.85 }],
      summary: 'Over 85 % of the disk is used',
      hint: 'Remove old runs and files, or collect the store’s garbage.',
    },
    {
      ...{ id: 'BackupOld', severity: 'ticket', for: 0 },
      when: [{ value: gauge(METRICS.backupAge.name), above: backupAge }],
      summary: `The last backup is older than ${round(backupAge / HOUR)} hours`,
      hint: 'See why the backup job did not run.',
    },
    {
      ...{ id: 'ModelDrift', severity: 'ticket', for: 30 * MINUTE },
      when: [{ value: gauge(METRICS.drift.name), above: drift }],
      summary: 'A model is asked for, or answers, other things than it used to',
      hint: 'Evaluate the model on new examples before you trust it with them.',
    },
  ];
}
