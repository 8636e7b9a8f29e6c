/**
 * Questions with known answers, asked of a model by prompts: what it writes, and which choice it holds likeliest (Brown
 * et al. 2020, section 2.4). Knows one question at a time; files and comparisons are elsewhere.
 */
import { InkstoneError } from '../base/errors.ts';
import { nearest } from '../base/nearest.ts';
import { leadOf, type PromptRenderer, type TurnTemplate, type Values } from '../prompt/index.ts';
import type { LanguageModel } from './language-model.ts';
import { answerF1, exactMatch, rouge } from './metrics/index.ts';

/** A question: values for a prompt, answers that are right, choices where there are some. */
export interface TaskItem {
  /** Its place in the data set, from 0. */
  number: number;
  values: Values;
  answers: readonly string[];
  choices?: readonly string[] | undefined;
}

export const TASK_METRICS = [
  'exact-match',
  'f1',
  'rouge1',
  'rouge2',
  'rougeL',
  'contains',
  'choice',
  'completion',
] as const;
export type TaskMetric = (typeof TASK_METRICS)[number];
/** Metrics of what a model writes; the others need likelihoods only. */
const WRITTEN: readonly TaskMetric[] = ['exact-match', 'f1', 'rouge1', 'rouge2', 'rougeL', 'contains'];

/**
 * How likelihoods of choices are made comparable: per token (GPT-3's rule for most tasks), per character, by that of the
 * choice without the question (its rule for ARC, OpenBookQA and RACE), or not at all.
 */
export const NORMALISATIONS = ['token', 'character', 'unconditional', 'none'] as const;
export type Normalisation = (typeof NORMALISATIONS)[number];

export interface TaskSettings {
  metrics: readonly TaskMetric[];
  normalise: Normalisation;
  /** For `unconditional`: what stands before a choice without a question. */
  answerContext: string;
  maxTokens: number;
  stop: readonly string[];
  seed: number;
}

/** A prompt in the comparison. */
export interface Variant {
  name: string;
  renderer: PromptRenderer;
}

export interface TaskResult {
  variant: string;
  item: number;
  /** What was written. */
  output?: string;
  /** The choice that is likeliest, and −log p of each. */
  picked?: string;
  nats?: number[];
  scores: Partial<Record<TaskMetric, number>>;
}

/** @throws InkstoneError `metric_unknown` */
export function taskMetrics(given: readonly string[]): TaskMetric[] {
  const names = given.flatMap((list) => list.split(',')).map((name) => name.trim());
  for (const name of names) {
    if ((TASK_METRICS as readonly string[]).includes(name)) continue;
    const close = nearest(name, TASK_METRICS);
    throw new InkstoneError('metric_unknown', `there is no metric "${name}"`, {
      kind: 'usage',
      hint: close === undefined ? `the metrics are ${TASK_METRICS.join(', ')}` : `did you mean ${close}?`,
    });
  }
  return [...new Set(names)] as TaskMetric[];
}

export const normaliseText = (text: string): string => text.toLowerCase().replace(/\s+/gu, ' ').trim();

/** Of a written answer against those that are right. */
export function scoreAnswer(metric: TaskMetric, output: string, answers: readonly string[]): number {
  switch (metric) {
    case 'exact-match':
      return exactMatch(output, answers);
    case 'f1':
      return answerF1(output, answers);
    case 'contains':
      return answers.some((answer) => normaliseText(output).includes(normaliseText(answer))) ? 1 : 0;
    case 'rouge1':
    case 'rouge2':
    case 'rougeL':
      return rouge(output, answers)[metric].f;
    default:
      throw new InkstoneError('metric_unknown', `${metric} is no metric of written answers`);
  }
}

/** Asks one question in one way. @throws InkstoneError `choices_missing`, `answer_no_choice` and what rendering throws */
export async function askOne(
  model: LanguageModel,
  template: TurnTemplate,
  { name, renderer }: Variant,
  item: TaskItem,
  settings: TaskSettings,
  signal?: AbortSignal,
): Promise<TaskResult> {
  const rendered = await renderer.render(item.values, { number: item.number, extra: true });
  const prompt = rendered.text ?? (await template.render(rendered.messages ?? []));
  const lead = leadOf(renderer.prompt, prompt);
  const result: TaskResult = { variant: name, item: item.number, scores: {} };
  const { metrics } = settings;
  if (metrics.some((metric) => WRITTEN.includes(metric))) {
    const [text] = await model.write([prompt], {
      ...{ maxTokens: settings.maxTokens, stop: settings.stop, seed: settings.seed },
      ...(signal === undefined ? {} : { signal }),
    });
    result.output = (text as string).trim();
    for (const metric of metrics)
      if (WRITTEN.includes(metric)) result.scores[metric] = scoreAnswer(metric, result.output, item.answers);
  }
  if (metrics.includes('completion')) {
    const asked = item.answers.map((answer) => ({ context: prompt, continuation: lead + answer }));
    const found = await model.score(asked, signal);
    result.scores.completion = found.some(({ best }) => best) ? 1 : 0;
  }
  if (metrics.includes('choice')) {
    const { right, ...choice } = await choose(model, renderer, item, { prompt, lead }, settings, signal);
    Object.assign(result, choice);
    result.scores.choice = right ? 1 : 0;
  }
  return result;
}

async function choose(
  model: LanguageModel,
  renderer: PromptRenderer,
  item: TaskItem,
  { prompt, lead }: { prompt: string; lead: string },
  settings: TaskSettings,
  signal: AbortSignal | undefined,
): Promise<{ picked: string; nats: number[]; right: boolean }> {
  const choices = item.choices ?? renderer.prompt.definition.choices;
  if (choices === undefined || choices.length < 2)
    throw new InkstoneError('choices_missing', `question ${item.number + 1} has no choices`, {
      kind: 'data',
      hint: 'give the prompt its choices, or each row a list of them (--choices-field)',
    });
  if (!item.answers.some((answer) => choices.includes(answer)))
    throw new InkstoneError(
      'answer_no_choice',
      `question ${item.number + 1}: the answer ${JSON.stringify(item.answers[0])} is none of its choices`,
      { kind: 'data', hint: `its choices are ${choices.join(', ')}` },
    );
  const scores = await model.score(
    choices.map((choice) => ({ context: prompt, continuation: lead + choice })),
    signal,
  );
  const alone =
    settings.normalise === 'unconditional'
      ? await model.score(
          choices.map((choice) => ({ context: settings.answerContext, continuation: lead + choice })),
          signal,
        )
      : [];
  const compared = scores.map(({ nats, tokens }, i) => {
    if (settings.normalise === 'token') return nats / tokens;
    if (settings.normalise === 'character') return nats / Array.from(choices[i] as string).length;
    return nats - (alone[i]?.nats ?? 0);
  });
  const picked = choices[compared.indexOf(Math.min(...compared))] as string;
  return { picked, nats: scores.map(({ nats }) => nats), right: item.answers.includes(picked) };
}
