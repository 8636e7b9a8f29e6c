/**
 * A comparison of prompts in a folder: what it is (evaluation.json), each answer as it comes (results.jsonl), and the
 * result. Killed at any moment it goes on and ends with the same result. Knows files; asking is evaluate's.
 */
import { createHash } from 'node:crypto';
import { InkstoneError } from '../base/errors.ts';
import { appendText, exists, makeFolder, readText, removeFile, writeFile } from '../base/host.ts';
import {
  type Comparison,
  comparePrompts,
  fingerprintWeights,
  type LanguageModel,
  type TaskResult,
  type TaskSet,
  type TaskSettings,
} from '../evaluate/index.ts';
import {
  compilePrompt,
  type Embed,
  type PromptDefinition,
  PromptRenderer,
  promptHash,
  type TurnTemplate,
} from '../prompt/index.ts';
import { lockRun } from '../train/run-lock.ts';

export interface NamedPrompt {
  /** `greet@3`, `greet@3, 4 examples`. */
  name: string;
  definition: PromptDefinition;
}

export interface PromptEvaluationOptions {
  out: string;
  model: LanguageModel;
  template: TurnTemplate;
  prompts: readonly NamedPrompt[];
  tasks: TaskSet;
  settings: TaskSettings;
  embed?: { name: string; embed: Embed };
  resume?: boolean;
  force?: boolean;
  provenance?: Record<string, unknown>;
  signal?: AbortSignal;
  progress?(done: number, all: number): void;
}

/** evaluation.json: a resumed evaluation must be the same. */
interface EvaluationConfig {
  /** SHA-256 of all that decides the answers. */
  key: string;
  model: string;
  weights: string;
  template: string;
  prompts: readonly NamedPrompt[];
  items: number;
  data_fingerprint: string;
  settings: TaskSettings;
  embedding: string | null;
  provenance: Record<string, unknown>;
}

/** result.json: no times in it, so that equal evaluations have equal files. */
export interface PromptEvaluation extends Omit<Comparison, 'results'> {
  model: string;
  data_fingerprint: string;
  settings: TaskSettings;
}

/** @throws InkstoneError `evaluation_exists`, `evaluation_missing`, `config_differs`, `prompts_same` and what asking throws */
export async function evaluatePrompts(options: PromptEvaluationOptions): Promise<PromptEvaluation> {
  const names = options.prompts.map(({ name }) => name);
  if (new Set(names).size < names.length)
    throw new InkstoneError('prompts_same', 'two of the prompts are the same', {
      kind: 'usage',
      hint: 'name each version once',
    });
  const { out, model, template, tasks, settings } = options;
  const made = !(await exists(out));
  await makeFolder(out);
  const unlock = await lockRun(out);
  try {
    const config = configOf(options);
    await begin(options, config);
    const known = await readResults(`${out}/results.jsonl`);
    const { results: _, ...found } = await comparePrompts({
      ...{ model, template, settings, known },
      variants: options.prompts.map(({ name, definition }) => ({
        name,
        renderer: new PromptRenderer(compilePrompt(definition), options.embed?.embed),
      })),
      items: tasks.items,
      record: (result) => appendText(`${out}/results.jsonl`, `${JSON.stringify(result)}\n`),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.progress === undefined ? {} : { progress: options.progress }),
    });
    const result: PromptEvaluation = {
      ...found,
      model: model.name,
      data_fingerprint: tasks.fingerprint,
      settings,
    };
    await writeFile(`${out}/result.json`, `${JSON.stringify(result, null, 2)}\n`);
    return result;
  } catch (thrown) {
    if (made && !(await exists(`${out}/evaluation.json`))) await removeFile(out);
    throw thrown;
  } finally {
    await unlock();
  }
}

function configOf({
  model,
  template,
  prompts,
  tasks,
  settings,
  embed,
  provenance,
}: PromptEvaluationOptions): EvaluationConfig {
  const weights = fingerprintWeights(model.model.weights);
  const decided = {
    ...{
      weights,
      template: template.name,
      settings,
      data: tasks.fingerprint,
      embedding: embed?.name ?? null,
    },
    prompts: prompts.map(({ name, definition }) => [name, promptHash(definition)]),
    // Which fields are answers and choices shows in the questions.
    items: tasks.items.map(({ answers, choices }) => [answers, choices]),
  };
  return {
    key: createHash('sha256').update(JSON.stringify(decided)).digest('hex'),
    model: model.name,
    weights,
    template: template.name,
    prompts,
    items: tasks.items.length,
    data_fingerprint: tasks.fingerprint,
    settings,
    embedding: embed?.name ?? null,
    provenance: provenance ?? {},
  };
}

async function begin(
  { out, resume, force }: PromptEvaluationOptions,
  config: EvaluationConfig,
): Promise<void> {
  const file = `${out}/evaluation.json`;
  const before = (await exists(file)) ? (JSON.parse(await readText(file)) as EvaluationConfig) : undefined;
  if (resume === true) {
    if (before === undefined)
      throw new InkstoneError('evaluation_missing', `there is no evaluation in ${out} to resume`, {
        kind: 'missing',
        hint: 'check --out, or leave --resume out to start one',
      });
    if (before.key === config.key) return;
    const fields = (
      ['weights', 'template', 'prompts', 'data_fingerprint', 'settings', 'embedding'] as const
    ).filter((name) => JSON.stringify(before[name]) !== JSON.stringify(config[name]));
    throw new InkstoneError('config_differs', `the evaluation was started otherwise (${fields.join(', ')})`, {
      kind: 'conflict',
      hint: 'resume it as it was started, or start another with --out',
    });
  }
  if (before !== undefined && force !== true)
    throw new InkstoneError('evaluation_exists', `${out} holds an evaluation already`, {
      kind: 'conflict',
      hint: 'go on with it (--resume), replace it (--force), or choose another --out',
    });
  for (const name of ['results.jsonl', 'result.json']) await removeFile(`${out}/${name}`);
  await writeFile(file, `${JSON.stringify(config, null, 2)}\n`);
}

/** What was answered; a line that a kill cut short is asked again. */
export async function readResults(file: string): Promise<TaskResult[]> {
  if (!(await exists(file))) return [];
  const text = await readText(file);
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  if (whole.length < text.length) await writeFile(file, whole);
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TaskResult);
}
