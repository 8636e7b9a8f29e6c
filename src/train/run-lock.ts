/** One trainer to a run folder: a file that names the process. Knows no run. */
import path from 'node:path';
import { InkstoneError } from '../base/errors.ts';
import { type Release, tryLock } from '../base/file-lock.ts';

/** Returns a function that gives the lock back. @throws InkstoneError `run_locked` */
export async function lockRun(folder: string): Promise<Release> {
  const file = path.resolve(folder, 'lock');
  const got = await tryLock(file);
  if (typeof got === 'function') return got;
  throw new InkstoneError('run_locked', `process ${got.holder} is training in ${folder}`, {
    kind: 'conflict',
    hint: `wait for it, stop it, or choose another --out; if it is no training, delete ${file}`,
  });
}
