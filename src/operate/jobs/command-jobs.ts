/**
 * Durable jobs of one kind, each a command of ours in a folder of its own under the home folder: made, found, stopped, gone
 * on with. They stay with the home folder that has theirs. Knows neither what they do nor how they are shown.
 */
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import type { Job } from '../../base/contracts/jobs.ts';
import { InkstoneError } from '../../base/errors.ts';
import { now } from '../../base/host.ts';
import { type CommandRun, type CommandStep, runCommand } from './command-run.ts';
import type { Jobs } from './jobs.ts';

export interface CommandPlace {
  home: string;
  /** The name of this home folder. */
  place: string;
  jobs: Jobs;
}

export interface CommandKind<Order> extends Pick<CommandRun, 'mark' | 'grace'> {
  kind: string;
  /** How ids begin. */
  prefix: string;
  args(order: Order, folder: string, resume: boolean): string[];
  progress(folder: string): Promise<number>;
}

/** Who asks, and whether it is asked for the first time: the same key and mark is the same job. */
export interface Asked {
  owner?: string | undefined;
  once?: { key: string; mark: string } | undefined;
}

export type Placed<Order> = Order & { place: string; owner?: string };

export class CommandJobs<Order extends object> {
  private readonly at: CommandPlace;
  private readonly what: CommandKind<Order>;

  constructor(at: CommandPlace, what: CommandKind<Order>) {
    this.at = at;
    this.what = what;
    at.jobs.register<Placed<Order>, CommandStep, object>({
      kind: what.kind,
      // Their lists are what people look back at.
      kept: Number.POSITIVE_INFINITY,
      takes: ({ place }) => place === at.place,
      run: (work) => {
        const folder = this.folder(work.id);
        return runCommand(work, {
          ...{ folder, mark: what.mark, ...(what.grace === undefined ? {} : { grace: what.grace }) },
          args: (resume) => what.args(work.input, folder, resume),
          progress: () => what.progress(folder),
        });
      },
    });
  }

  folder(id: string): string {
    return path.join(this.at.home, 'evaluations', id);
  }

  /** @throws InkstoneError `idempotency_conflict` */
  create(order: Order, { owner, once }: Asked = {}): Promise<Job> {
    return this.at.jobs.create({
      kind: this.what.kind,
      id: `${this.what.prefix}-${now().toString(36)}-${randomUUID().slice(0, 8)}`,
      input: { ...order, place: this.at.place, ...(owner === undefined ? {} : { owner }) },
      ...(once === undefined ? {} : { key: once.key, same: once.mark }),
    });
  }

  /** @throws InkstoneError `evaluation_missing` */
  async get(id: string): Promise<Job> {
    const job = await this.at.jobs.find(this.what.kind, id);
    if (job !== undefined) return job;
    throw new InkstoneError('evaluation_missing', `there is no evaluation ${id}`, { kind: 'missing' });
  }

  /** The newest first. */
  list(): Promise<Job[]> {
    return this.at.jobs.list(this.what.kind);
  }

  /** What was done is kept. @throws InkstoneError `evaluation_missing` */
  async stop(id: string): Promise<Job> {
    await this.get(id);
    return this.at.jobs.cancel(id);
  }

  /** Goes on with one that was stopped or has failed; others are left as they are. @throws InkstoneError `evaluation_missing` */
  async resume(id: string): Promise<Job> {
    await this.get(id);
    return this.at.jobs.resume(id);
  }
}
