/** What `prompt evaluate` and `few-shot` share: the questions, the model, the folder, the table. */
import path from 'node:path';
import { InkstoneError } from '../base/errors.ts';
import { readText } from '../base/host.ts';
import { z } from '../base/schema.ts';
import { codeVersion } from '../base/version.ts';
import {
  LanguageModel,
  NORMALISATIONS,
  readTasks,
  TASK_METRICS,
  type TaskMetric,
  type TaskSet,
  type TaskSettings,
  taskMetrics,
} from '../evaluate/index.ts';
import { loadTextModel } from '../models/text/load.ts';
import { chatTemplateFor } from '../operate/chat-templates.ts';
import { evaluatePrompts, type NamedPrompt, type PromptEvaluation } from '../operate/prompt-evaluation.ts';
import { findModel } from '../operate/registry.ts';
import { TextEmbedder } from '../operate/text-embedder.ts';
import type { Embed } from '../prompt/index.ts';
import type { Backend } from '../runtime/contract.ts';
import { createBackend } from '../runtime/index.ts';
import type { CommandContext } from './command.ts';
import { commandLine } from './command-line.ts';
import { freeFolder } from './free-folder.ts';
import { homeSetting, own, unescaped } from './prompt-settings.ts';

const whole = z.number().int();

/** Settings of both commands. */
export const comparisonSettings = {
  model: z.string().min(1).describe('a run folder, a model folder or a registered name'),
  data: z
    .string()
    .min(1)
    .describe('JSON lines: each an object with the prompt’s values and an answer')
    .meta(own),
  metric: z
    .array(z.string())
    .optional()
    .describe(`${TASK_METRICS.join(', ')}; default choice where there are choices, else exact-match,f1`)
    .meta(own),
  answer: z
    .string()
    .min(1)
    .default('answer')
    .describe('the field with the right answer or a list of them')
    .meta(own),
  choicesField: z
    .string()
    .min(1)
    .default('choices')
    .describe('the field with the choices of a row')
    .meta(own),
  normalise: z
    .enum(NORMALISATIONS)
    .default('token')
    .describe('how likelihoods of choices are compared')
    .meta(own),
  answerContext: z
    .string()
    .default('A:')
    .describe('unconditional: what stands before a choice alone')
    .meta(own),
  tokens: whole.min(1).max(10_000).default(32).describe('at most this many new tokens an answer').meta(own),
  stop: z.array(z.string().min(1)).default(['\n']).describe('an answer ends before this text').meta(own),
  limit: whole.min(1).optional().describe('only the first questions').meta(own),
  template: z
    .string()
    .optional()
    .describe('chat template for turns: plain, chatml, llama3; default the model’s own')
    .meta(own),
  embed: z
    .string()
    .optional()
    .describe('a model that compares examples; default BM25 over characters')
    .meta(own),
  seed: whole.min(0).default(1).describe('of what is sampled').meta(own),
  out: z
    .string()
    .min(1)
    .optional()
    .describe('where answers and result go; default runs-out/prompts-N')
    .meta(own),
  resume: z.boolean().default(false).describe('go on with the evaluation in --out').meta(own),
  force: z.boolean().default(false).describe('replace the evaluation in --out').meta(own),
  home: homeSetting,
  device: z.enum(['cpu', 'webgpu']).default('cpu').describe('where the arithmetic runs'),
  threads: whole.min(1).max(1024).optional().describe('compute threads; default: one per core'),
} as const;
const schema = z.object(comparisonSettings);
export type ComparisonSettings = z.output<typeof schema>;

export type ComparisonResult = PromptEvaluation & { out: string };

/** Vectors of texts by a model. */
export async function openEmbedder(
  name: string,
  backend: Backend,
): Promise<{ embed: Embed; close(): Promise<void> }> {
  const embedder = await TextEmbedder.open((await findModel(name)).folder, backend);
  return {
    embed: async (texts) => (await embedder.embed({ id: 'examples', texts })).map(({ vector }) => vector),
    close: () => embedder.close(),
  };
}

/** @throws InkstoneError `task_invalid`, `data_empty`, `file_missing` */
export async function readTaskSet(settings: ComparisonSettings): Promise<TaskSet> {
  const { data, answer, choicesField, limit } = settings;
  const all = readTasks(await readText(data), data, { answer, choices: choicesField });
  return { ...all, items: all.items.slice(0, limit) };
}

function settingsOf(
  settings: ComparisonSettings,
  prompts: readonly NamedPrompt[],
  tasks: TaskSet,
): TaskSettings {
  const choosing =
    tasks.items.every(({ choices }) => choices !== undefined) ||
    prompts.every(({ definition }) => definition.choices !== undefined);
  const metrics: TaskMetric[] =
    settings.metric === undefined
      ? choosing
        ? ['choice']
        : ['exact-match', 'f1']
      : taskMetrics(settings.metric);
  const { normalise, answerContext, tokens: maxTokens, seed } = settings;
  return { metrics, normalise, answerContext, maxTokens, stop: settings.stop.map(unescaped), seed };
}

/** Asks every question in every way and writes the folder. */
export async function compareInFolder(
  settings: ComparisonSettings,
  prompts: readonly NamedPrompt[],
  tasks: TaskSet,
  context: CommandContext,
): Promise<ComparisonResult> {
  const { id, folder } = await findModel(settings.model);
  if (settings.resume && settings.out === undefined)
    throw new InkstoneError('out_missing', '--resume needs --out', {
      kind: 'usage',
      hint: 'name the folder of the evaluation to go on with',
    });
  const out = settings.out ?? (await freeFolder('prompts'));
  const loaded = await loadTextModel(folder);
  const backend = await createBackend(
    settings.device,
    settings.threads === undefined ? {} : { threads: settings.threads },
  );
  const model = new LanguageModel(id, loaded, backend);
  try {
    const embedder = settings.embed === undefined ? undefined : await openEmbedder(settings.embed, backend);
    const result = await evaluatePrompts({
      ...{ out, model, prompts, tasks },
      template: await chatTemplateFor(settings.template, loaded),
      settings: settingsOf(settings, prompts, tasks),
      ...(embedder === undefined ? {} : { embed: { name: settings.embed as string, embed: embedder.embed } }),
      resume: settings.resume,
      force: settings.force,
      provenance: {
        version: await codeVersion(),
        command: commandLine(),
        data: path.resolve(settings.data),
      },
      signal: context.signal,
      progress: (done, all) => context.progress.show(`${done} of ${all} answers`),
    });
    await embedder?.close();
    return { ...result, out };
  } finally {
    await model.close();
    await backend.close();
  }
}

/** A table: a line for each variant, means with intervals, and the test against the first. */
export function showComparison({ variants, metrics, items, state, out, model }: ComparisonResult): string {
  const head = ['prompt', ...metrics.flatMap((metric) => [metric, '95 %', 'p'])];
  const rows = variants.map(({ name, scores, against_first }) => [
    name,
    ...metrics.flatMap((metric) => {
      const one = scores[metric];
      const test = against_first?.[metric];
      if (one === undefined) return ['', '', ''];
      return [
        one.value.toFixed(3),
        `${one.lower.toFixed(3)} – ${one.upper.toFixed(3)}`,
        test === undefined ? '' : test.p < 0.001 ? '< 0.001' : test.p.toFixed(3),
      ];
    }),
  ]);
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => (row[i] as string).length)));
  const table = [head, ...rows].map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number)))
      .join('  ')
      .trimEnd(),
  );
  const asked = variants[0]?.scores[metrics[0] as TaskMetric]?.count ?? 0;
  return [
    ...table,
    '',
    `${asked} of ${items} questions, ${model}; p against ${variants[0]?.name}, paired${state === 'stopped' ? `; stopped: go on with --resume --out ${out}` : ''}`,
    `answers: ${out}/results.jsonl`,
  ].join('\n');
}
