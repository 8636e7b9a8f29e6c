/** A throw-away PostgreSQL server for tests: found on the machine, made in a temporary folder, run by another user than root. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';

/** Folder of `initdb` and `postgres`, the newest there is; `INKSTONE_POSTGRES_BIN` names another. */
export function findPostgres(): string | undefined {
  const given = process.env.INKSTONE_POSTGRES_BIN;
  if (given !== undefined && given !== '') return given;
  const below = (folder: string, prefix: string): string[] =>
    existsSync(folder)
      ? readdirSync(folder)
          .filter((name) => name.startsWith(prefix))
          .map((name) => path.join(folder, name, 'bin'))
      : [];
  const places = [
    ...below('/usr/lib/postgresql', ''),
    ...below('/usr', 'pgsql-'),
    ...below('/opt/homebrew/opt', 'postgresql@'),
    ...below('/usr/local/opt', 'postgresql@'),
  ];
  const number = (folder: string): number => Number(/(\d+)/.exec(folder)?.[1] ?? 0);
  places.sort((a, b) => number(b) - number(a));
  return [...places, '/usr/bin', '/usr/local/bin'].find(
    (place) => existsSync(path.join(place, 'initdb')) && existsSync(path.join(place, 'postgres')),
  );
}

/** Why tests of PostgreSQL are skipped; undefined where they are not. */
export const noPostgres =
  findPostgres() === undefined ? 'no PostgreSQL server is installed (apt install postgresql)' : undefined;

/** PostgreSQL refuses to run as root: `nobody` does it then. */
const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};

export class TestPostgres {
  readonly folder: string;
  readonly port: number;
  private readonly bin: string;
  private readonly settings: readonly string[];
  private child: ChildProcess | undefined;
  private made = 0;

  private constructor(bin: string, folder: string, port: number, settings: readonly string[]) {
    this.bin = bin;
    this.folder = folder;
    this.port = port;
    this.settings = settings;
  }

  /** @param settings for `postgres -c` @param within a folder that others may enter */
  static async start(settings: readonly string[] = [], within = tmpdir()): Promise<TestPostgres> {
    const bin = findPostgres();
    if (bin === undefined) throw new Error(noPostgres);
    const folder = mkdtempSync(path.join(within, 'inkstone-postgres-'));
    if (user.uid !== undefined) chownSync(folder, user.uid, user.gid as number);
    const data = path.join(folder, 'data');
    const made = spawnSync(
      path.join(bin, 'initdb'),
      ['-D', data, '-U', 'inkstone', '-A', 'trust', '-E', 'UTF8', '--no-locale', '-N'],
      { ...user, cwd: folder, encoding: 'utf8' },
    );
    if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`);
    const server = new TestPostgres(bin, folder, await freePort(), settings);
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const set = ['listen_addresses=127.0.0.1', `unix_socket_directories=${this.folder}`, ...this.settings];
    const child = spawn(
      path.join(this.bin, 'postgres'),
      ['-D', path.join(this.folder, 'data'), '-p', String(this.port), ...set.flatMap((one) => ['-c', one])],
      { ...user, cwd: this.folder, stdio: 'ignore' },
    );
    this.child = child;
    for (;;) {
      const client = new pg.Client({ connectionString: this.address('postgres') });
      client.on('error', () => undefined);
      try {
        await client.connect();
        await client.end();
        return;
      } catch {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`postgres ended with ${child.exitCode ?? child.signalCode}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  address(name: string): string {
    return `postgres://inkstone@127.0.0.1:${this.port}/${name}`;
  }

  /** Makes an empty database and tells its address. */
  async database(): Promise<string> {
    const name = `test_${++this.made}`;
    const client = new pg.Client({ connectionString: this.address('postgres') });
    await client.connect();
    await client.query(`create database ${name}`);
    await client.end();
    return this.address(name);
  }

  /** `kill -9` of the server; its children notice and end. */
  async kill(): Promise<void> {
    const children = this.children();
    await this.end('SIGKILL');
    // A new server refuses to start while one of them holds the shared memory.
    while (children.some(alive)) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  private children(): number[] {
    const { pid } = this.child ?? {};
    const listed = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' }).stdout ?? '';
    return listed
      .split('\n')
      .map(Number)
      .filter((id) => id > 0);
  }

  /** `kill -9` of one that serves a connection: the server then ends all connections and recovers. */
  killBackend(): boolean {
    const backend = this.children().find((id) => {
      try {
        return /127\.0\.0\.1/.test(readFileSync(`/proc/${id}/cmdline`, 'utf8'));
      } catch {
        return false;
      }
    });
    if (backend === undefined) return false;
    process.kill(backend, 'SIGKILL');
    return true;
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  async stop(): Promise<void> {
    await this.end('SIGINT');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function alive(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch {
    return false;
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
