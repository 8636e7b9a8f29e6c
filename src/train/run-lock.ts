/**
 * One trainer to a run folder: a file that names the process. Knows no run.
 *
 * A process that was killed leaves its file behind; the next one takes it over. A dead process's file is removed
 * only under a guard (a second such file, held for a moment) and after another look, so that of several that try
 * at once none removes the winner's.
 */
import path from 'node:path';
import { InkstoneError } from '../base/errors.ts';
import { createFile, facts, isAlive, now, processId, readText, removeFile } from '../base/host.ts';

/** Folders that this very process trains in: their files name it, as one of a dead namesake would. */
const held = new Set<string>();

/** Milliseconds in which a file that names nobody may still get its name. */
const NAMING = 1000;

/** Returns a function that gives the lock back. @throws InkstoneError `run_locked` */
export async function lockRun(folder: string): Promise<() => Promise<void>> {
  const file = path.resolve(folder, 'lock');
  if (held.has(file)) throw locked(folder, processId(), file);
  held.add(file);
  try {
    while (!(await take(file))) {
      const holder = await holderOf(file);
      if (typeof holder === 'number') throw locked(folder, holder, file);
      if (holder === 'dead') await removeDead(file);
    }
  } catch (thrown) {
    held.delete(file);
    throw thrown;
  }
  return async () => {
    held.delete(file);
    await removeFile(file);
  };
}

/** True for one process of all that try. */
async function take(file: string): Promise<boolean> {
  const name = String(processId());
  // Looked at once more: a process that slept before it wrote its name may have been taken for dead.
  return (await createFile(file, name)) && (await readText(file).catch(() => '')) === name;
}

/** Id of the living process that a file names; `dead` where it lives no more; `none` without a file. */
async function holderOf(file: string): Promise<number | 'dead' | 'none'> {
  for (;;) {
    const about = await facts(file);
    const text = about === undefined ? undefined : await readText(file).catch(() => undefined);
    if (about === undefined || text === undefined) return 'none';
    if (text !== '' || now() - about.modified >= NAMING) {
      const holder = Number(text);
      return holder > 0 && holder !== processId() && isAlive(holder) ? holder : 'dead';
    }
    await pause();
  }
}

async function removeDead(file: string): Promise<void> {
  const guard = `${file}.guard`;
  if (!(await take(guard))) {
    // Somebody is at it, unless it was killed in that very moment.
    if ((await holderOf(guard)) === 'dead') await removeFile(guard);
    await pause();
    return;
  }
  try {
    // Who holds the guard alone removes a dead process's file: it is still the same one.
    if ((await holderOf(file)) === 'dead') await removeFile(file);
  } finally {
    await removeFile(guard);
  }
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 10));

function locked(folder: string, holder: number, file: string): InkstoneError {
  return new InkstoneError('run_locked', `process ${holder} is training in ${folder}`, {
    kind: 'conflict',
    hint: `wait for it, stop it, or choose another --out; if it is no training, delete ${file}`,
  });
}
