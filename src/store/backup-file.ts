/**
 * A backup as it lies in its folder: `STAMP.jsonl` with a line for each row and each object, `STAMP.json` that says how many
 * and with what checksums. Without the second there is no backup. Knows no store.
 */
import { createHash } from 'node:crypto';
import path from 'node:path';
import type { Row } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import { exists, listFiles, readText, timestamp } from '../base/host.ts';
import { byId } from './names.ts';

export interface Backup {
  version: 1;
  /** `20261126T181530Z`: when it was made; its name. */
  stamp: string;
  /** Milliseconds since 1970. */
  at: number;
  rows: number;
  objects: number;
  /** Bytes of all objects. */
  bytes: number;
  /** SHA-256 of the whole list. */
  checksum: string;
}

export type Line = { collection: string; row: Row } | { object: string; size: number };

export const stampOf = (at: number): string => timestamp(at).replace(/[-:]|\.\d+/g, '');

export const listFile = (folder: string, stamp: string): string => path.join(folder, `${stamp}.jsonl`);
export const headFile = (folder: string, stamp: string): string => path.join(folder, `${stamp}.json`);

const damaged = (file: string, cause?: unknown): InkstoneError =>
  new InkstoneError('backup_damaged', `the backup ${file} cannot be read`, {
    kind: 'data',
    hint: 'take an earlier one: --at STAMP',
    cause,
  });

/** All backups of a folder, the newest first. @throws InkstoneError `backup_damaged` */
export async function backupsIn(folder: string): Promise<Backup[]> {
  const found: Backup[] = [];
  if (!(await exists(folder))) return found;
  for (const name of await listFiles(folder)) {
    if (!/^\d{8}T\d{6}Z\.json$/.test(name)) continue;
    const file = path.join(folder, name);
    try {
      found.push(JSON.parse(await readText(file)) as Backup);
    } catch (cause) {
      throw damaged(file, cause);
    }
  }
  return found.sort((a, b) => byId(b.stamp, a.stamp));
}

export const checksumOf = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Lines of a backup, checked as a whole before the first is given. @throws InkstoneError `backup_damaged` */
export async function linesOf(folder: string, { stamp, checksum }: Backup): Promise<Line[]> {
  const file = listFile(folder, stamp);
  const text = await readText(file).catch((cause: unknown) => {
    throw damaged(file, cause);
  });
  if (checksumOf(text) !== checksum) throw damaged(file);
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}
