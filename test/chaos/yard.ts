/**
 * What chaos needs: a home with a model of random weights, the real server as a process that can be killed, its children
 * by name, a load of requests and batches, and a book of what was accepted. Knows no assertions.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import OpenAI, { toFile } from 'openai';
import { sendSignal } from '../../src/base/host.ts';
import { BpeTokenizer, END_OF_TEXT } from '../../src/data/tokenizer/bpe.ts';
import { writeSafetensors } from '../../src/formats/safetensors.ts';
import { textConfig, textParameters } from '../../src/models/text/architectures.ts';
import { initialise } from '../../src/nn/parameters.ts';
import { freePort, TestPostgres } from '../services/postgres.ts';
import { Served } from './served.ts';
import { since } from './standstill.ts';

export type StoreName = 'folder' | 'pglite' | 'postgresql';

/** Milliseconds that a client waits for an answer: no request may hang longer. */
export const DEADLINE = 60_000;
/** Requests in a batch of the load. */
export const IN_BATCH = 12;
/** Batches that are open at once. */
const OPEN = 2;
/** Bytes of the disk that can be filled. */
const DISK = 512 * 2 ** 20;

/** Beside the home, so that a full disk stops no clock. */
const clockOf = (home: string): string => `${home}.clock`;

export async function makeModel(home: string): Promise<void> {
  const model = textConfig.parse({
    ...{ architecture: 'llama', layers: 1, heads: 2, keyHeads: 1, headWidth: 8, width: 16, hidden: 32 },
    ...{ context: 256, vocabulary: 257 },
  });
  const tokens = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  tokens.push(new TextEncoder().encode(END_OF_TEXT));
  const folder = path.join(home, 'runs', 'bytes');
  await mkdir(folder, { recursive: true });
  await writeFile(
    path.join(folder, 'config.json'),
    JSON.stringify({ family: 'text', architecture: 'llama', model, created: 9 }),
  );
  await writeFile(
    path.join(folder, 'tokenizer.json'),
    new BpeTokenizer({ tokens, merges: [], endOfText: 256 }).toJson(),
  );
  await writeFile(
    path.join(folder, 'model.safetensors'),
    writeSafetensors(initialise(textParameters(model), 3)),
  );
}

/** What is told of a job, as far as it is looked at. */
export interface JobState {
  id: string;
  state: string;
  ended?: number;
  /** This very server works on it. */
  mine: boolean;
}

export interface Counts {
  asked: number;
  answered: number;
  refused: number;
  /** Longer than the deadline: there must be none. */
  hung: number;
}

export class Yard {
  readonly home: string;
  readonly port: number;
  readonly postgres: TestPostgres | undefined;
  readonly counts: Counts = { asked: 0, answered: 0, refused: 0, hung: 0 };
  /** Ids of batches that were accepted, with the key under which they were. */
  readonly accepted = new Map<string, string>();
  /** Those that are not known to have ended, the oldest first. */
  private open: string[] = [];
  /** Whether its home is a disk of its own, which can be full. */
  readonly ownDisk: boolean;
  private readonly env: NodeJS.ProcessEnv;
  private server: Served | undefined;
  private stopped = false;
  private loads: Promise<void>[] = [];
  private file = '';
  private number = 0;

  private constructor(
    home: string,
    port: number,
    env: NodeJS.ProcessEnv,
    postgres: TestPostgres | undefined,
    ownDisk: boolean,
  ) {
    this.ownDisk = ownDisk;
    this.home = home;
    this.port = port;
    this.env = env;
    this.postgres = postgres;
  }

  static async open(store: StoreName): Promise<Yard> {
    const home = await mkdtemp(path.join(tmpdir(), `inkstone-chaos-${store}-`));
    const mount = ['-t', 'tmpfs', '-o', `size=${DISK}`, 'tmpfs', home];
    const ownDisk = spawnSync('mount', mount).status === 0;
    await makeModel(home);
    const postgres = store === 'postgresql' ? await TestPostgres.start() : undefined;
    const database = postgres === undefined ? store : await postgres.database();
    const clock = new URL('clock.mjs', import.meta.url).href;
    const env = {
      ...process.env,
      INKSTONE_DATABASE: database,
      CHAOS_CLOCK: clockOf(home),
      NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import=${clock}`,
    };
    return new Yard(home, await freePort(), env, postgres, ownDisk);
  }

  get client(): OpenAI {
    const baseURL = `http://127.0.0.1:${this.port}/v1`;
    return new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0, timeout: DEADLINE });
  }

  /** Returns when it listens. Only the one model is loaded: whoever strikes a host strikes this one's. */
  async start(): Promise<void> {
    this.server = await Served.start(
      [
        ...['serve', '--home', this.home, '--port', String(this.port), '--model', 'bytes'],
        ...['--queue', '200', '--no-log-requests'],
      ],
      { env: this.env },
    );
  }

  async killServer(): Promise<void> {
    await this.server?.kill();
  }

  /** @returns the process that was struck; undefined where there was none */
  killHost(signal: NodeJS.Signals = 'SIGKILL'): number | undefined {
    const [host] = this.server?.hosts() ?? [];
    if (host !== undefined) process.kill(host, signal);
    return host;
  }

  /** The server's clock is off by so many milliseconds from now on. */
  jump(milliseconds: number): Promise<void> {
    return writeFile(clockOf(this.home), String(milliseconds));
  }

  /** Nothing more can be written until `freeDisk`. */
  fillDisk(): void {
    for (const piece of [2 ** 20, 4096])
      try {
        for (;;) appendFileSync(this.filler, Buffer.alloc(piece, 1));
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code !== 'ENOSPC') throw thrown;
      }
  }

  freeDisk(): void {
    rmSync(this.filler, { force: true });
  }

  private get filler(): string {
    return path.join(this.home, 'filler');
  }

  async killDatabase(): Promise<boolean> {
    if (this.postgres !== undefined) {
      await this.postgres.kill();
      await this.postgres.start();
      return true;
    }
    const lock = path.join(this.home, 'store', 'database', 'lock');
    const id = Number(await readFile(lock, 'utf8').catch(() => ''));
    return sendSignal(id, 'SIGKILL');
  }

  /** One request as a person makes it; counted. */
  async ask(): Promise<boolean> {
    const { counts } = this;
    counts.asked++;
    const started = performance.now();
    try {
      await this.client.completions.create({
        model: 'bytes',
        prompt: 'ink',
        max_tokens: 8,
        seed: counts.asked,
      });
      counts.answered++;
      return true;
    } catch {
      if (since(started) >= DEADLINE) counts.hung++;
      else counts.refused++;
      return false;
    }
  }

  /** Milliseconds until a request is answered again. */
  async recovered(): Promise<number> {
    const started = performance.now();
    while (!(await this.ask())) await new Promise((resolve) => setTimeout(resolve, 50));
    return since(started);
  }

  /** What the server says of a job. @throws where it does not answer */
  async jobState(id: string): Promise<JobState> {
    const response = await fetch(`http://127.0.0.1:${this.port}/api/jobs/${id}`, {
      signal: AbortSignal.timeout(DEADLINE),
    });
    if (!response.ok) throw new Error(`the job ${id} is answered ${response.status}`);
    return (await response.json()) as JobState;
  }

  /** Batches that were accepted and have not ended. @throws as `jobState` */
  async stillOpen(): Promise<JobState[]> {
    const states = await Promise.all(this.open.map((id) => this.jobState(id)));
    const over = new Set(states.filter(({ ended }) => ended !== undefined).map(({ id }) => id));
    this.open = this.open.filter((id) => !over.has(id));
    return states.filter(({ id }) => !over.has(id));
  }

  private async batch(): Promise<void> {
    const number = ++this.number;
    const key = `chaos-${number}`;
    // As a client that was not answered: again, under the same key, until it is.
    while (!this.stopped) {
      try {
        if (this.file === '') {
          const rows = Array.from({ length: IN_BATCH }, (_, i) => ({
            ...{ custom_id: `r${i}`, method: 'POST', url: '/v1/completions' },
            body: { model: 'bytes', prompt: `${i}`, max_tokens: 6, seed: i },
          }));
          const text = rows.map((row) => JSON.stringify(row)).join('\n');
          const file = await toFile(Buffer.from(text), 'requests.jsonl');
          this.file = (await this.client.files.create({ file, purpose: 'batch' })).id;
        }
        const { id } = await this.client.batches.create(
          { input_file_id: this.file, endpoint: '/v1/completions', completion_window: '24h' },
          { headers: { 'Idempotency-Key': key } },
        );
        this.accepted.set(key, id);
        this.open.push(id);
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** Requests without end, and a batch every `pace` milliseconds where not too many are open. */
  load(people: number, pace: number): void {
    const person = async (): Promise<void> => {
      while (!this.stopped) {
        await this.ask();
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
    };
    const batches = async (): Promise<void> => {
      while (!this.stopped) {
        // More than wait for each other would make an orphan wait for a place, and not for its lease.
        const open = await this.stillOpen().catch(() => undefined);
        if (open !== undefined && open.length < OPEN) await this.batch();
        await new Promise((resolve) => setTimeout(resolve, pace));
      }
    };
    this.loads = [...Array.from({ length: people }, person), batches()];
  }

  async endLoad(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.loads);
  }

  async close(): Promise<void> {
    this.stopped = true;
    await this.server?.stop();
    await this.postgres?.stop();
    // The embedded database leaves by itself, a moment after its last user.
    await new Promise((resolve) => setTimeout(resolve, 200));
    if (this.ownDisk) spawnSync('umount', ['-l', this.home]);
    await rm(clockOf(this.home), { force: true });
    await rm(this.home, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
  }
}
