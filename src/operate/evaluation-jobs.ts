/**
 * Evaluations of models as durable jobs: each is a command (`inkstone evaluate`), one at a time in a server, and ends with
 * figures and a card. One that is cut short begins anew. Knows no metric.
 */
import path from 'node:path';
import type { Job } from '../base/contracts/jobs.ts';
import type { JobStatus } from '../base/contracts/trainable.ts';
import { exists, readText } from '../base/host.ts';
import { type Asked, CommandJobs, type CommandPlace } from './jobs/command-jobs.ts';

export interface EvaluationOrder {
  /** The model's name, and its folder. */
  model: string;
  folder: string;
  /** Path of the text or the pictures. */
  file: string;
  split?: string | undefined;
  validation?: number | undefined;
  stride?: number | undefined;
  samples?: number | undefined;
  weights?: string | undefined;
}

export interface EvaluationJob extends JobStatus {
  model: string;
  /** What `inkstone evaluate --json` says, once it is there. */
  figures?: Record<string, unknown>;
  /** The card, as Markdown. */
  card?: string;
}

const CARD = 'card.md';

export class EvaluationJobs {
  private readonly commands: CommandJobs<EvaluationOrder>;

  constructor(at: CommandPlace) {
    this.commands = new CommandJobs(at, {
      ...{ kind: 'evaluation', prefix: 'evaluation', mark: CARD },
      args: commandOf,
      progress: async () => 0,
    });
  }

  /** @throws InkstoneError `idempotency_conflict` */
  async create(order: EvaluationOrder, by: Asked = {}): Promise<EvaluationJob> {
    return this.status(await this.commands.create(order, by));
  }

  /** @throws InkstoneError `evaluation_missing` */
  async get(id: string): Promise<EvaluationJob> {
    return this.status(await this.commands.get(id));
  }

  /** The newest first. */
  async list(): Promise<EvaluationJob[]> {
    return Promise.all((await this.commands.list()).map((job) => this.status(job)));
  }

  /** @throws InkstoneError `evaluation_missing` */
  async stop(id: string): Promise<EvaluationJob> {
    return this.status(await this.commands.stop(id));
  }

  /** Begins anew with one that was stopped or failed. @throws InkstoneError `evaluation_missing` */
  async resume(id: string): Promise<EvaluationJob> {
    return this.status(await this.commands.resume(id));
  }

  private async status({ id, input, state, created, progress, error, result }: Job): Promise<EvaluationJob> {
    const folder = this.commands.folder(id);
    const card = path.join(folder, CARD);
    const done = state === 'succeeded';
    // Where the card lies on the server is no figure.
    const { card: _, card_json: __, ...figures } = (result ?? {}) as Record<string, unknown>;
    return {
      ...{ id, kind: 'evaluate', state, progress, created: Math.floor(created / 1000), metrics: {} },
      ...(state === 'failed' && error !== undefined ? { error } : {}),
      ...{ result: folder, model: (input as EvaluationOrder).model },
      ...(done ? { figures } : {}),
      ...(done && (await exists(card)) ? { card: await readText(card) } : {}),
    };
  }
}

function commandOf(order: EvaluationOrder, out: string): string[] {
  const args = ['evaluate', order.folder, '--data', order.file, '--out', out, '--json'];
  for (const flag of ['split', 'validation', 'stride', 'samples', 'weights'] as const)
    if (order[flag] !== undefined) args.push(`--${flag}`, String(order[flag]));
  return args;
}
