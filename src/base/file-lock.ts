/**
 * A lock between processes: a file that names its holder. Knows nothing of what it protects.
 *
 * A process that was killed leaves its file behind; the next one takes it over. A dead process's file is removed
 * only under a guard (a second such file, held for a moment) and after another look, so that of several that try
 * at once none removes the winner's.
 */
import path from 'node:path';
import { createFile, facts, isAlive, now, processId, readText, removeFile } from './host.ts';

/** Files that this very process holds: they name it, as one of a dead namesake would. */
const held = new Set<string>();

/** Milliseconds in which a file that names nobody may still get its name. */
const NAMING = 1000;

export type Release = () => Promise<void>;

/** A function that gives the lock back, or the process that has it. The folder must be there. */
export async function tryLock(given: string): Promise<Release | { holder: number }> {
  const file = path.resolve(given);
  if (held.has(file)) return { holder: processId() };
  held.add(file);
  try {
    while (!(await take(file))) {
      const holder = await holderOf(file);
      if (typeof holder === 'number') {
        held.delete(file);
        return { holder };
      }
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

/** Runs `work` while nobody else holds the lock; waits for whoever has it. @param waiting told once, if it has to wait */
export async function withLock<T>(
  file: string,
  work: () => Promise<T>,
  waiting: (holder: number) => void = () => undefined,
): Promise<T> {
  let told = false;
  for (;;) {
    const got = await tryLock(file);
    if (typeof got === 'function') return work().finally(got);
    if (!told) waiting(got.holder);
    told = true;
    await pause(100);
  }
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
    await pause(10);
  }
}

async function removeDead(file: string): Promise<void> {
  const guard = `${file}.guard`;
  if (!(await take(guard))) {
    // Somebody is at it, unless it was killed in that very moment.
    if ((await holderOf(guard)) === 'dead') await removeFile(guard);
    await pause(10);
    return;
  }
  try {
    // Who holds the guard alone removes a dead process's file: it is still the same one.
    if ((await holderOf(file)) === 'dead') await removeFile(file);
  } finally {
    await removeFile(guard);
  }
}

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));
