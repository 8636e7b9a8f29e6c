/**
 * Prompts side by side on one set of questions: every variant answers every question, means have intervals, and each
 * variant is compared with the first by a paired test. What is known already is not asked again.
 */
import type { TurnTemplate } from '../prompt/index.ts';
import type { LanguageModel } from './language-model.ts';
import { proportion } from './metrics/index.ts';
import { bootstrapMean, compare, type Interval, type PairedTest } from './statistics.ts';
import {
  askOne,
  type TaskItem,
  type TaskMetric,
  type TaskResult,
  type TaskSettings,
  type Variant,
} from './tasks.ts';

export interface CompareOptions {
  model: LanguageModel;
  template: TurnTemplate;
  variants: readonly Variant[];
  items: readonly TaskItem[];
  settings: TaskSettings;
  known?: readonly TaskResult[];
  /** Keeps a result before the next question is asked. */
  record?(result: TaskResult): Promise<void>;
  signal?: AbortSignal;
  progress?(done: number, all: number): void;
}

export interface VariantSummary {
  name: string;
  scores: Partial<Record<TaskMetric, Interval>>;
  /** Against the first variant, by metric. */
  against_first?: Partial<Record<TaskMetric, PairedTest>>;
}

export interface Comparison {
  state: 'succeeded' | 'stopped';
  items: number;
  metrics: readonly TaskMetric[];
  variants: VariantSummary[];
  results: TaskResult[];
}

/** Questions that are asked side by side. */
const AT_ONCE = 8;

/** Question by question, all variants of one before the next, so that a stopped comparison compares like with like. */
export async function comparePrompts(options: CompareOptions): Promise<Comparison> {
  const { model, template, variants, items, settings, signal } = options;
  const known = new Map((options.known ?? []).map((one) => [`${one.item} ${one.variant}`, one]));
  const results: TaskResult[] = [];
  const asked = items.flatMap((item) => variants.map((variant) => ({ item, variant })));
  let state: Comparison['state'] = 'succeeded';
  for (let first = 0; first < asked.length; first += AT_ONCE) {
    const group = asked.slice(first, first + AT_ONCE).map(({ item, variant }) => ({
      item,
      variant,
      before: known.get(`${item.number} ${variant.name}`),
    }));
    if (signal?.aborted === true && group.some(({ before }) => before === undefined)) {
      state = 'stopped';
      break;
    }
    // Side by side, so that what they write is decoded in one batch; kept in order.
    const answers = await Promise.all(
      group.map(({ item, variant, before }) => before ?? askOne(model, template, variant, item, settings)),
    );
    for (const [i, answer] of answers.entries()) {
      if (group[i]?.before === undefined) await options.record?.(answer);
      results.push(answer);
    }
    options.progress?.(results.length, asked.length);
  }
  return {
    state,
    items: items.length,
    metrics: settings.metrics,
    variants: summarise(
      variants.map(({ name }) => name),
      settings.metrics,
      results,
    ),
    results,
  };
}

/** Means, intervals and tests over the questions that every variant has answered. */
export function summarise(
  names: readonly string[],
  metrics: readonly TaskMetric[],
  results: readonly TaskResult[],
): VariantSummary[] {
  const answered = new Map<number, Map<string, TaskResult>>();
  for (const one of results) {
    const of = answered.get(one.item) ?? new Map<string, TaskResult>();
    answered.set(one.item, of.set(one.variant, one));
  }
  const whole = [...answered.values()].filter((of) => names.every((name) => of.has(name)));
  const column = (name: string, metric: TaskMetric): number[] =>
    whole.map((of) => of.get(name)?.scores[metric] as number);
  return names.map((name, at) => {
    const scores: VariantSummary['scores'] = {};
    const against: NonNullable<VariantSummary['against_first']> = {};
    for (const metric of metrics) {
      const values = column(name, metric);
      scores[metric] = intervalOf(values);
      if (at > 0 && values.length > 0) against[metric] = compare(column(names[0] as string, metric), values);
    }
    return at === 0 ? { name, scores } : { name, scores, against_first: against };
  });
}

/** Wilson's interval where all are right or wrong, else the bootstrap's. */
function intervalOf(values: readonly number[]): Interval {
  const answers = values.every((value) => value === 0 || value === 1);
  return answers && values.length > 0
    ? proportion(
        values.reduce<number>((a, b) => a + b, 0),
        values.length,
      )
    : bootstrapMean(values);
}
