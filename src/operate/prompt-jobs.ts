/**
 * Comparisons of prompts as durable jobs: each is a command (`inkstone prompt evaluate`), one at a time in a server. Answers
 * are kept in a folder as they come, so whoever takes a comparison up goes on behind the last.
 */
import path from 'node:path';
import type { Job } from '../base/contracts/jobs.ts';
import type { JobStatus } from '../base/contracts/trainable.ts';
import { exists, readText } from '../base/host.ts';
import { type Asked, CommandJobs, type CommandPlace } from './jobs/command-jobs.ts';
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

export interface PromptJob extends JobStatus {
  model: string;
  prompts: string[];
  /** The comparison, once it is there. */
  comparison?: PromptEvaluation;
}

/** By this one sees that a comparison was begun. */
const MARK = 'evaluation.json';
/** Milliseconds for the answers that are being given when it is told to stop. */
const GRACE = 10_000;

export class PromptJobs {
  private readonly commands: CommandJobs<PromptOrder>;

  constructor(at: CommandPlace) {
    this.commands = new CommandJobs(at, {
      ...{ kind: 'prompt-evaluation', prefix: 'prompts', mark: MARK, grace: GRACE },
      args: (order, folder, resume) => [
        ...commandOf(order, folder, at.home),
        ...(resume ? ['--resume'] : []),
      ],
      progress: async (folder) => {
        const { done, all } = await countOf(folder);
        return all === 0 ? 0 : Math.min(1, done / all);
      },
    });
  }

  /** @throws InkstoneError `idempotency_conflict` */
  async create(order: PromptOrder, by: Asked = {}): Promise<PromptJob> {
    return this.status(await this.commands.create(order, by));
  }

  /** @throws InkstoneError `evaluation_missing` */
  async get(id: string): Promise<PromptJob> {
    return this.status(await this.commands.get(id));
  }

  /** The newest first. */
  async list(): Promise<PromptJob[]> {
    return Promise.all((await this.commands.list()).map((job) => this.status(job)));
  }

  /** After the answers that are being given; they are kept. @throws InkstoneError `evaluation_missing` */
  async stop(id: string): Promise<PromptJob> {
    return this.status(await this.commands.stop(id));
  }

  /** Goes on with one that was stopped or failed; others are left as they are. @throws InkstoneError `evaluation_missing` */
  async resume(id: string): Promise<PromptJob> {
    return this.status(await this.commands.resume(id));
  }

  private async status({ id, input, state, created, ended, progress, error }: Job): Promise<PromptJob> {
    const { model, prompts } = input as PromptOrder;
    const folder = this.commands.folder(id);
    const result = path.join(folder, 'result.json');
    const asked = await countOf(folder);
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
}

/** Answers there are, and that there are to be. */
async function countOf(folder: string): Promise<{ done: number; all: number }> {
  const [config, results] = [path.join(folder, MARK), path.join(folder, 'results.jsonl')];
  if (!(await exists(config))) return { done: 0, all: 0 };
  const { items, prompts } = JSON.parse(await readText(config)) as { items: number; prompts: unknown[] };
  const done = (await exists(results)) ? (await readText(results)).split('\n').length - 1 : 0;
  return { done, all: items * prompts.length };
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
