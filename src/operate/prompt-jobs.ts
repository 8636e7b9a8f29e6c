/**
 * Comparisons of prompts as jobs: each is a child process (`inkstone prompt evaluate`), one at a time. Rows are in the
 * store, answers in a folder, so a job that a server left unfinished goes on at its next start.
 */
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import type { Row, Store } from '../base/contracts/store.ts';
import type { JobState, JobStatus } from '../base/contracts/trainable.ts';
import { InkstoneError } from '../base/errors.ts';
import { type ChildProcess, exists, machine, now, readText, spawnCommand } from '../base/host.ts';
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

export interface PromptJobRow extends Row {
  order: PromptOrder;
  state: JobState;
  created: number;
  error?: JobStatus['error'];
}

export interface PromptJob extends JobStatus {
  model: string;
  prompts: string[];
  /** The comparison, once it is there. */
  comparison?: PromptEvaluation;
}

const ROWS = 'prompt-evaluations';
const TAIL = 65_536;
const isFinal = (state: JobState): boolean => state !== 'queued' && state !== 'running';

export class PromptJobs {
  private readonly home: string;
  private readonly store: Store;
  private running: { id: string; child: ChildProcess; done: Promise<void> } | undefined;
  private readonly stopping = new Set<string>();
  private closed = false;
  private last: Promise<unknown> = Promise.resolve();

  constructor(home: string, store: Store) {
    this.home = home;
    this.store = store;
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work);
    this.last = result.catch(() => undefined);
    return result;
  }

  private folder(id: string): string {
    return path.join(this.home, 'evaluations', id);
  }

  /** What was running when a server ended goes on. */
  recover(): Promise<void> {
    return this.inTurn(async () => {
      for (const row of await this.store.rows.list<PromptJobRow>(ROWS))
        if (row.state === 'running') await this.store.rows.put(ROWS, { ...row, state: 'queued' });
      await this.startNext();
    });
  }

  create(order: PromptOrder): Promise<PromptJob> {
    return this.inTurn(async () => {
      const id = `prompts-${now().toString(36)}-${randomUUID().slice(0, 8)}`;
      const row: PromptJobRow = { id, order, state: 'queued', created: Math.floor(now() / 1000) };
      await this.store.rows.put(ROWS, row);
      await this.startNext();
      return this.get(id);
    });
  }

  /** @throws InkstoneError `evaluation_missing` */
  private async row(id: string): Promise<PromptJobRow> {
    const row = await this.store.rows.get<PromptJobRow>(ROWS, id).catch(() => undefined);
    if (row !== undefined) return row;
    throw new InkstoneError('evaluation_missing', `there is no evaluation ${id}`, { kind: 'missing' });
  }

  async get(id: string): Promise<PromptJob> {
    return this.status(await this.row(id));
  }

  /** The newest first. */
  async list(): Promise<PromptJob[]> {
    const rows = await this.store.rows.list<PromptJobRow>(ROWS);
    rows.sort((a, b) => b.created - a.created || (a.id < b.id ? 1 : -1));
    return Promise.all(rows.map((row) => this.status(row)));
  }

  private async status({ id, order, state, created, error }: PromptJobRow): Promise<PromptJob> {
    const folder = this.folder(id);
    const result = path.join(folder, 'result.json');
    const done = isFinal(state) && (await exists(result));
    const asked = await this.asked(folder);
    return {
      ...{ id, kind: 'prompt evaluate', state, created },
      progress: state === 'succeeded' ? 1 : asked.all === 0 ? 0 : Math.min(1, asked.done / asked.all),
      metrics: { answers: asked.done },
      ...(error === undefined ? {} : { error }),
      result: folder,
      ...{ model: order.model, prompts: order.prompts },
      ...(done ? { comparison: JSON.parse(await readText(result)) as PromptEvaluation } : {}),
    };
  }

  /** Answers there are, and that there are to be. */
  private async asked(folder: string): Promise<{ done: number; all: number }> {
    const [config, results] = [path.join(folder, 'evaluation.json'), path.join(folder, 'results.jsonl')];
    if (!(await exists(config))) return { done: 0, all: 0 };
    const { items, prompts } = JSON.parse(await readText(config)) as { items: number; prompts: unknown[] };
    const done = (await exists(results)) ? (await readText(results)).split('\n').length - 1 : 0;
    return { done, all: items * prompts.length };
  }

  /** Only in turn. */
  private async startNext(): Promise<void> {
    if (this.closed || this.running !== undefined) return;
    const rows = await this.store.rows.list<PromptJobRow>(ROWS);
    const row = rows
      .filter(({ state }) => state === 'queued')
      .sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1))[0];
    if (row === undefined) return;
    const begun = await exists(path.join(this.folder(row.id), 'evaluation.json'));
    const args = commandOf(row.order, this.folder(row.id), this.home);
    const child = spawnCommand(begun ? [...args, '--resume'] : args, {
      detached: machine().platform !== 'win32',
    });
    let output = '';
    child.stdout?.on('data', (piece) => {
      output = (output + String(piece)).slice(-TAIL);
    });
    child.stderr?.resume();
    const ended = new Promise<void>((resolve) => {
      child.on('close', () => resolve());
      child.on('error', () => resolve());
    });
    const done = ended.then(() => this.inTurn(() => this.ended(row.id, output)));
    done.catch(() => undefined);
    this.running = { id: row.id, child, done };
    await this.store.rows.put(ROWS, { ...row, state: 'running' });
  }

  private async ended(id: string, output: string): Promise<void> {
    this.running = undefined;
    const { error: _, ...row } = await this.row(id);
    const answer = lastJson(output);
    const told = this.stopping.delete(id);
    const error = answer?.error as JobStatus['error'] | undefined;
    const cut = error === undefined || error.code === 'interrupted';
    const next: PromptJobRow =
      answer?.state === 'succeeded'
        ? { ...row, state: 'succeeded' }
        : told && cut
          ? { ...row, state: 'cancelled' }
          : this.closed && cut
            ? { ...row, state: 'queued' }
            : { ...row, state: 'failed', error: error ?? LOST };
    await this.store.rows.put(ROWS, next);
    await this.startNext();
  }

  /** After the answers that are being given; they are kept. */
  stop(id: string): Promise<PromptJob> {
    return this.inTurn(async () => {
      const row = await this.row(id);
      if (this.running?.id === id) {
        this.stopping.add(id);
        this.running.child.kill('SIGTERM');
      } else if (row.state === 'queued') await this.store.rows.put(ROWS, { ...row, state: 'cancelled' });
      return this.get(id);
    });
  }

  /** Goes on with one that was stopped or failed; others are left as they are. */
  resume(id: string): Promise<PromptJob> {
    return this.inTurn(async () => {
      const { error: _, ...row } = await this.row(id);
      if (row.state === 'failed' || row.state === 'cancelled') {
        await this.store.rows.put(ROWS, { ...row, state: 'queued' });
        await this.startNext();
      }
      return this.get(id);
    });
  }

  /** Ends what runs; it goes on at the next start. */
  async close(): Promise<void> {
    this.closed = true;
    await this.last;
    const { running } = this;
    if (running === undefined) return;
    running.child.kill('SIGTERM');
    const late = setTimeout(() => running.child.kill('SIGKILL'), 10_000);
    await running.done.catch(() => undefined);
    clearTimeout(late);
  }
}

const LOST = {
  code: 'evaluation_failed',
  message: 'the process of the evaluation ended without a word',
  hint: 'resume it: the answers so far are kept',
};

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

function lastJson(output: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
