/** A home with a small model, a store, and real servers on it that can be killed or stopped, one beside the other. Knows no assertions. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { sendSignal } from '../../src/base/host.ts';
import { freePort, TestPostgres } from '../services/postgres.ts';
import { makeModel, type StoreName } from './yard.ts';

const root = path.resolve(import.meta.dirname, '..', '..');

export class Site {
  readonly home: string;
  readonly servers: SiteServer[] = [];
  private readonly postgres: TestPostgres | undefined;
  private readonly env: NodeJS.ProcessEnv;

  private constructor(home: string, env: NodeJS.ProcessEnv, postgres: TestPostgres | undefined) {
    this.home = home;
    this.env = env;
    this.postgres = postgres;
  }

  static async open(store: StoreName): Promise<Site> {
    const home = await mkdtemp(path.join(tmpdir(), `inkstone-site-${store}-`));
    await makeModel(home);
    const postgres = store === 'postgresql' ? await TestPostgres.start() : undefined;
    const database = postgres === undefined ? store : await postgres.database();
    return new Site(home, { ...process.env, INKSTONE_DATABASE: database }, postgres);
  }

  async server(): Promise<SiteServer> {
    const server = new SiteServer(this.home, await freePort(), this.env);
    this.servers.push(server);
    await server.start();
    return server;
  }

  /** `kill -9` of the database, which then comes back. */
  async killDatabase(): Promise<void> {
    if (this.postgres !== undefined) {
      await this.postgres.kill();
      await this.postgres.start();
      return;
    }
    const lock = path.join(this.home, 'store', 'database', 'lock');
    // It comes with its first user.
    while (!sendSignal(Number(await readFile(lock, 'utf8').catch(() => '')), 'SIGKILL'))
      await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async close(): Promise<void> {
    for (const server of this.servers) await server.stop();
    await this.postgres?.stop();
    // The embedded database leaves by itself, a moment after its last user.
    await rm(this.home, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
  }
}

export class SiteServer {
  readonly address: string;
  private readonly words: string[];
  private readonly env: NodeJS.ProcessEnv;
  private process: ChildProcess | undefined;

  constructor(home: string, port: number, env: NodeJS.ProcessEnv) {
    this.address = `http://127.0.0.1:${port}`;
    this.words = ['serve', '--home', home, '--port', String(port), '--model', 'bytes', '--json'];
    this.env = env;
  }

  /** Returns when it listens. */
  async start(): Promise<void> {
    // What stands in dist already: a check of the sources at each start would only take time.
    const start = "const { run } = await import('./dist/cli/main.js'); await run();";
    const child = spawn(
      process.execPath,
      ['--input-type=module', '-e', start, '--', 'inkstone', ...this.words],
      { cwd: root, env: this.env, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.process = child;
    let said = '';
    child.stderr.on('data', (piece) => {
      said = (said + String(piece)).slice(-4000);
    });
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (piece) => {
        if (String(piece).includes('"listening"')) resolve();
      });
      child.once('exit', (code, signal) =>
        reject(new Error(`the server ended with ${code ?? signal}: ${said}`)),
      );
    });
  }

  signal(signal: NodeJS.Signals): void {
    this.process?.kill(signal);
  }

  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** In order; also one that stands still. */
  async stop(): Promise<void> {
    this.signal('SIGCONT');
    const late = setTimeout(() => this.signal('SIGKILL'), 40_000);
    await this.end('SIGTERM');
    clearTimeout(late);
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }
}
