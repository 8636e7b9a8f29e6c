/** What goes over the line to the embedded database's process: a JSON text a line. Knows no database. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { machine, temporaryPath } from '../../base/host.ts';
import type { SqlResult, Statement } from './contract.ts';

export interface SqlRequest {
  id: number;
  statements: readonly Statement[];
}

export interface SqlAnswer {
  id: number;
  results?: SqlResult[];
  error?: { code?: string; message: string };
}

/** The longest name that a Unix socket may have on every system. */
const LONGEST = 100;

/** Where the process of a folder listens: in the folder; by a name made from it where that is too long. */
export function socketOf(folder: string): string {
  const name = createHash('sha256').update(path.resolve(folder)).digest('hex').slice(0, 24);
  if (machine().platform === 'win32') return `\\\\.\\pipe\\inkstone-${name}`;
  const inside = path.resolve(folder, 'socket');
  if (Buffer.byteLength(inside) <= LONGEST) return inside;
  return path.join(path.dirname(temporaryPath('x')), `inkstone-${name}.socket`);
}

/** Calls back with each whole line. */
export function lines(receive: (line: string) => void): (piece: Buffer) => void {
  let pending: Buffer[] = [];
  return (piece) => {
    let start = 0;
    for (let at = piece.indexOf(10); at >= 0; at = piece.indexOf(10, start)) {
      pending.push(piece.subarray(start, at));
      receive(Buffer.concat(pending).toString());
      pending = [];
      start = at + 1;
    }
    if (start < piece.length) pending.push(piece.subarray(start));
  };
}
