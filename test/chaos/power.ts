/**
 * Power cuts, simulated: what a process changed on its disk was written down (recorder.mjs); played back, all that was not
 * synced is kept in part, torn or lost, as a disk with a cache and a journal of names would leave it. Names come back in
 * their order up to some point behind the last sync (as on ext4 or XFS); bytes of a file only if that file was synced.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  cpSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { sendSignal } from '../../src/base/host.ts';
import { openAt } from '../../src/store/index.ts';

type Entry =
  | { op: 'known' | 'create'; id: number; path: string }
  | { op: 'write'; id: number; at: number; data: string }
  | { op: 'truncate'; id: number; size: number }
  | { op: 'rename'; from: string; to: string }
  | { op: 'remove' | 'mkdir'; path: string }
  | { op: 'sync'; id: number };

const NAMES: readonly Entry['op'][] = ['create', 'rename', 'remove', 'mkdir'];
/** Bytes that a disk writes at once. */
const SECTOR = 512;

export interface Cut {
  /** Rows that were acknowledged before the cut. */
  acknowledged: number;
  /** Entries after the last sync of anything, and writes that were lost or torn. */
  lost: number;
  problems: string[];
}

/** Plays a journal back onto a copy of what was there before. Returns how many entries were lost. */
export function playBack(entries: readonly Entry[], root: string, chance: () => number): number {
  const lastSync = entries.findLastIndex(({ op }) => op === 'sync');
  const trailing = entries.flatMap(({ op }, i) => (i > lastSync && NAMES.includes(op) ? [i] : []));
  const keepNames = trailing[Math.floor(chance() * (trailing.length + 1))] ?? entries.length;
  const syncedAt = new Map<number, number>();
  entries.forEach((entry, i) => {
    if (entry.op === 'sync') syncedAt.set(entry.id, i);
  });
  const paths = new Map<number, string>();
  let lost = 0;
  entries.forEach((entry, i) => {
    const isName = NAMES.includes(entry.op);
    if (isName && i > lastSync && i >= keepNames) {
      lost++;
      return;
    }
    if (entry.op === 'known' || entry.op === 'create') {
      paths.set(entry.id, entry.path);
      if (entry.op === 'create') {
        mkdirSync(path.dirname(path.join(root, entry.path)), { recursive: true });
        writeFileSync(path.join(root, entry.path), '');
      }
    } else if (entry.op === 'mkdir') mkdirSync(path.join(root, entry.path), { recursive: true });
    else if (entry.op === 'rename') {
      renameSync(path.join(root, entry.from), path.join(root, entry.to));
      for (const [id, name] of [...paths]) {
        if (name === entry.to) paths.delete(id);
        if (name === entry.from || name.startsWith(`${entry.from}/`))
          paths.set(id, entry.to + name.slice(entry.from.length));
      }
    } else if (entry.op === 'remove') {
      rmSync(path.join(root, entry.path), { recursive: true, force: true });
      for (const [id, name] of [...paths])
        if (name === entry.path || name.startsWith(`${entry.path}/`)) paths.delete(id);
    } else if (entry.op === 'write' || entry.op === 'truncate') {
      const name = paths.get(entry.id);
      if (name === undefined || !existsSync(path.join(root, name))) return;
      const safe = (syncedAt.get(entry.id) ?? -1) > i;
      if (!safe && chance() < 0.5) {
        lost++;
        return;
      }
      const file = openSync(path.join(root, name), 'r+');
      if (entry.op === 'truncate') ftruncateSync(file, entry.size);
      else {
        let bytes: Uint8Array = Buffer.from(entry.data, 'base64');
        if (!safe && chance() < 0.5) {
          bytes = bytes.subarray(0, Math.floor((chance() * bytes.length) / SECTOR) * SECTOR);
          lost++;
        }
        const at = entry.at < 0 ? statSync(path.join(root, name)).size : entry.at;
        if (bytes.length > 0) writeSync(file, bytes, 0, bytes.length, at);
      }
      closeSync(file);
    }
  });
  return lost;
}

/** A home in which the store was opened once, so that each cut hits work and not the first start. */
export async function before(database: 'folder' | 'pglite'): Promise<string> {
  const home = mkdtempSync(path.join(tmpdir(), 'inkstone-power-'));
  const store = await openAt(home, { database, objects: 'folder' });
  await store.rows.put('notes', { id: 'first' });
  await store.close();
  const lock = path.join(home, 'store', 'database', 'lock');
  while (existsSync(lock)) await new Promise((resolve) => setTimeout(resolve, 100));
  return home;
}

/** Work, a cut at some moment, and a look at what is there afterwards. @param base what `before` made */
export async function cut(base: string, database: 'folder' | 'pglite', chance: () => number): Promise<Cut> {
  const place = mkdtempSync(path.join(tmpdir(), 'inkstone-cut-'));
  const [home, after] = [path.join(place, 'home'), path.join(place, 'after')];
  cpSync(base, home, { recursive: true });
  cpSync(base, after, { recursive: true });
  const root = path.join(home, 'store');
  const journal = path.join(place, 'journal');
  const recorder = path.join(import.meta.dirname, 'recorder.mjs');
  const writer = spawn(process.execPath, [path.join(import.meta.dirname, 'writer.mjs'), home, database], {
    env: {
      ...process.env,
      RECORD_ROOT: root,
      RECORD_JOURNAL: journal,
      NODE_OPTIONS: `--import=file://${recorder}`,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const wanted = 10 + Math.floor(chance() * 60);
    const acknowledged = await killAt(writer, wanted, () => {
      if (database !== 'pglite') return;
      const id = Number(readFileSync(path.join(root, 'database', 'lock'), 'utf8'));
      if (!sendSignal(id, 'SIGKILL')) throw new Error('there is no database process to kill');
    });
    const journals = database === 'pglite' ? [] : [`${journal}.${writer.pid}`];
    if (database === 'pglite') {
      const holder = readFileSync(path.join(root, 'database', 'lock'), 'utf8');
      journals.push(`${journal}.${holder}`, `${journal}.${writer.pid}`);
    }
    let lost = 0;
    for (const file of journals) {
      if (!existsSync(file)) continue;
      const whole = readFileSync(file, 'utf8');
      const lines = whole
        .slice(0, whole.lastIndexOf('\n') + 1)
        .split('\n')
        .filter(Boolean);
      lost += playBack(
        lines.map((line) => JSON.parse(line) as Entry),
        path.join(after, 'store'),
        chance,
      );
    }
    rmSync(path.join(after, 'store', 'database', 'lock'), { force: true });
    return { acknowledged, lost, problems: await look(after, database, acknowledged) };
  } finally {
    writer.kill('SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 50));
    rmSync(place, { recursive: true, force: true, maxRetries: 10, retryDelay: 300 });
  }
}

/** Kills once so many rows were acknowledged; resolves to how many were when everything stood still. */
export function killAt(writer: ChildProcess, wanted: number, killOthers: () => void): Promise<number> {
  return new Promise((resolve, reject) => {
    let said = '';
    let killed = false;
    const count = (): number =>
      Number(
        said
          .trimEnd()
          .split('\n')
          .filter((line) => /^\d+$/.test(line))
          .at(-1) ?? -1,
      ) + 1;
    writer.stdout?.on('data', (piece) => {
      said += String(piece);
      if (killed || count() < wanted) return;
      killed = true;
      killOthers();
      writer.kill('SIGKILL');
    });
    writer.on('close', () =>
      killed ? resolve(count()) : reject(new Error(`the writer ended by itself: ${said}`)),
    );
  });
}

/** What is wrong with what is there after a cut. @param database as a place says it */
export async function look(home: string, database: string, acknowledged: number): Promise<string[]> {
  const problems: string[] = [];
  try {
    const store = await openAt(home, { database, objects: 'folder' });
    for (let i = 0; i < acknowledged; i++) {
      const row = await store.rows.get('notes', `n${i}`).catch((thrown: Error) => thrown.message);
      if (typeof row !== 'object') problems.push(`n${i}: ${row ?? 'not there'}`);
      else if (row.text !== `${i} `.repeat(1 + (i % 300))) problems.push(`n${i}: another text`);
      else if (typeof row.object === 'string') {
        try {
          for await (const piece of store.objects.get(row.object)) void piece;
        } catch (thrown) {
          problems.push(`n${i}: ${(thrown as Error).message}`);
        }
      }
    }
    if ((await store.rows.list('notes')).length < acknowledged) problems.push('the list is short');
    await store.close();
  } catch (thrown) {
    problems.push(`does not open: ${(thrown as Error).message}`);
  }
  return problems;
}
