/** A command of ours that serves (`serve`, `gateway`) as a process that can be killed. Knows no stores and no loads. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..', '..');
/** Milliseconds for an end in order. */
const GRACE = 15_000;

export interface ServedOptions {
  env?: NodeJS.ProcessEnv;
  /** Words before the process's own, as `ip netns exec NAME`. */
  before?: readonly string[];
}

export class Served {
  readonly child: ChildProcess;
  address = '';
  /** The end of what it wrote on standard error. */
  said = '';

  private constructor(child: ChildProcess) {
    this.child = child;
    child.stderr?.on('data', (piece) => {
      this.said = (this.said + String(piece)).slice(-4000);
    });
  }

  /** Returns when it listens. @throws Error with what it said, where it ends instead */
  static async start(words: readonly string[], options: ServedOptions = {}): Promise<Served> {
    // What stands in dist already: a check of the sources at each start would only take time.
    const begin = "const { run } = await import('./dist/cli/main.js'); await run();";
    const all = [
      ...(options.before ?? []),
      ...[process.execPath, '--input-type=module', '-e', begin, '--', 'inkstone', ...words, '--json'],
    ];
    const served = new Served(
      spawn(all[0] as string, all.slice(1), {
        cwd: root,
        env: options.env ?? process.env,
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    );
    await new Promise<void>((resolve, reject) => {
      let text = '';
      served.child.stdout?.on('data', (piece) => {
        text += String(piece);
        const line = /^\{.*"listening".*\}$/m.exec(text)?.[0];
        if (line === undefined || served.address !== '') return;
        served.address = (JSON.parse(line) as { address: string }).address;
        resolve();
      });
      served.child.once('exit', (code, signal) =>
        reject(new Error(`${words[0]} ended with ${code ?? signal}: ${served.said}`)),
      );
    });
    return served;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Process ids of its model hosts. */
  hosts(): number[] {
    const { stdout } = spawnSync('ps', ['-o', 'pid=,args=', '--ppid', String(this.child.pid)], {
      encoding: 'utf8',
    });
    return stdout
      .split('\n')
      .filter((line) => line.includes('host-process'))
      .map((line) => Number(line.trim().split(' ')[0]));
  }

  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  async stop(): Promise<void> {
    const late = setTimeout(() => this.child.kill('SIGKILL'), GRACE);
    await this.end('SIGTERM');
    clearTimeout(late);
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    if (!this.running) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill(signal);
    await ended;
  }
}

export function isThere(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch {
    return false;
  }
}
