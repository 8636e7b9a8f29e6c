/**
 * Comparisons of prompts as durable jobs: each is a command (`inkstone prompt evaluate`), one at a time in a server. Answers
 * are kept in a folder as they come, so whoever takes a comparison up goes on behind the last.
 */
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import type { Job } from '../base/contracts/jobs.ts';
import type { JobStatus } from '../base/contracts/trainable.ts';
import { InkstoneError } from '../base/errors.ts';
import { exists, now, readText } from '../base/host.ts';
import { type CommandStep, runCommand } from './jobs/command-run.ts';
import type { Jobs } from './jobs/jobs.ts';
import type { PromptEvaluation } from './prompt-evaluation.ts';

export interface PromptOrder {
  /** The model's name, and its folder. */
  model: string;
  folder: string;
  /** `greet@3`: versions, so that a label that moves changes nothing. */
  prompts: string[];
  /** Path of the questions. */
  file: string;
  metrics?: string[] | undefined;
  normalise?: string | undefined;
  answer?: string | undefined;
  tokens?: number | undefined;
  limit?: number | undefined;
  seed?: number | undefined;
  /** Folder of a model that compares examples. */
  embed?: string | undefined;
}

/** What its job keeps of a comparison. */
interface PromptInput extends PromptOrder {
  /** Of the home folder that has the answers. */
  place: string;
  /** Id of the API key that asked. */
  owner?: string | undefined;
}

export interface PromptJob extends JobStatus {
  model: string;
  prompts: string[];
  /** The comparison, once it is there. */
  comparison?: PromptEvaluation;
}

export interface PromptJobsOptions {
  home: string;
  /** Of this home folder. */
  place: string;
  jobs: Jobs;
}

const KIND = 'prompt-evaluation';
/** By this one sees that a comparison was begun. */
const MARK = 'evaluation.json';
/** Milliseconds for the answers that are being given when it is told to stop. */
const GRACE = 10_000;

export class PromptJobs {
  private readonly options: PromptJobsOptions;

  constructor(options: PromptJobsOptions) {
    this.options = options;
    options.jobs.register<PromptInput, CommandStep, object>({
      kind: KIND,
      kept: Number.POSITIVE_INFINITY,
      takes: ({ place }) => place === options.place,
      run: (work) => {
        const folder = this.folder(work.id);
        return runCommand(work, {
          ...{ folder, mark: MARK, grace: GRACE },
          args: (resume) => [...commandOf(work.input, folder, options.home), ...(resume ? ['--resume'] : [])],
          progress: async () => {
            const { done, all } = await this.asked(folder);
            return all === 0 ? 0 : Math.min(1, done / all);
          },
        });
      },
    });
  }

  private folder(id: string): string {
    return path.join(this.options.home, 'evaluations', id);
  }

  /** @param asked.once the same key and mark is the same comparison @throws InkstoneError `idempotency_conflict` */
  async create(
    order: PromptOrder,
    asked: { owner?: string | undefined; once?: { key: string; mark: string } | undefined } = {},
  ): Promise<PromptJob> {
    const { owner, once } = asked;
    const { jobs, place } = this.options;
    const job = await jobs.create<PromptInput>({
      ...{ kind: KIND, id: `prompts-${now().toString(36)}-${randomUUID().slice(0, 8)}` },
      input: { ...order, place, ...(owner === undefined ? {} : { owner }) },
      ...(once === undefined ? {} : { key: once.key, same: once.mark }),
    });
    return this.status(job);
  }

  /** @throws InkstoneError `evaluation_missing` */
  async get(id: string): Promise<PromptJob> {
    const job = await this.options.jobs.find(KIND, id);
    if (job !== undefined) return this.status(job);
    throw new InkstoneError('evaluation_missing', `there is no evaluation ${id}`, { kind: 'missing' });
  }

  /** The newest first. */
  async list(): Promise<PromptJob[]> {
    return Promise.all((await this.options.jobs.list(KIND)).map((job) => this.status(job)));
  }

  private async status({ id, input, state, created, ended, progress, error }: Job): Promise<PromptJob> {
    const { model, prompts } = input as PromptInput;
    const folder = this.folder(id);
    const result = path.join(folder, 'result.json');
    const asked = await this.asked(folder);
    return {
      ...{ id, kind: 'prompt evaluate', state, created: Math.floor(created / 1000) },
      progress: state === 'succeeded' ? 1 : asked.all === 0 ? progress : Math.min(1, asked.done / asked.all),
      metrics: { answers: asked.done },
      ...(state === 'failed' && error !== undefined ? { error } : {}),
      result: folder,
      ...{ model, prompts },
      // Of one that was stopped: of the answers there are.
      ...(ended !== undefined && (await exists(result))
        ? { comparison: JSON.parse(await readText(result)) as PromptEvaluation }
        : {}),
    };
  }

  /** Answers there are, and that there are to be. */
  private async asked(folder: string): Promise<{ done: number; all: number }> {
    const [config, results] = [path.join(folder, MARK), path.join(folder, 'results.jsonl')];
    if (!(await exists(config))) return { done: 0, all: 0 };
    const { items, prompts } = JSON.parse(await readText(config)) as { items: number; prompts: unknown[] };
    const done = (await exists(results)) ? (await readText(results)).split('\n').length - 1 : 0;
    return { done, all: items * prompts.length };
  }

  /** After the answers that are being given; they are kept. @throws InkstoneError `evaluation_missing` */
  async stop(id: string): Promise<PromptJob> {
    await this.get(id);
    return this.status(await this.options.jobs.cancel(id));
  }

  /** Goes on with one that was stopped or failed; others are left as they are. @throws InkstoneError `evaluation_missing` */
  async resume(id: string): Promise<PromptJob> {
    await this.get(id);
    return this.status(await this.options.jobs.resume(id));
  }
}

function commandOf(order: PromptOrder, out: string, home: string): string[] {
  const args = [
    'prompt',
    'evaluate',
    order.folder,
    '--data',
    order.file,
    '--out',
    out,
    '--home',
    home,
    '--json',
  ];
  for (const prompt of order.prompts) args.push('--prompt', prompt);
  for (const metric of order.metrics ?? []) args.push('--metric', metric);
  const put = (flag: string, value: string | number | undefined): void => {
    if (value !== undefined) args.push(flag, String(value));
  };
  put('--normalise', order.normalise);
  put('--answer', order.answer);
  put('--tokens', order.tokens);
  put('--limit', order.limit);
  put('--seed', order.seed);
  put('--embed', order.embed);
  return args;
}
