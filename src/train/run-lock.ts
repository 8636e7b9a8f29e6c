/**
 * One trainer to a run folder: a file that names the process. Knows no run.
 *
 * A process that was killed leaves its file behind; the next one takes it over, and of several that try at once
 * one gets it.
 */
import path from 'node:path';
import { InkstoneError } from '../base/errors.ts';
import {
  createFile,
  facts,
  isAlive,
  now,
  processId,
  readText,
  removeFile,
  renameFile,
} from '../base/host.ts';

/** Folders that this very process trains in: their files name it, as one of a dead namesake would. */
const held = new Set<string>();

/** Milliseconds in which a file without a name may still get one. */
const NAMING = 1000;

/** Returns a function that gives the lock back. @throws InkstoneError `run_locked` */
export async function lockRun(folder: string): Promise<() => Promise<void>> {
  const file = path.resolve(folder, 'lock');
  if (held.has(file)) throw locked(folder, processId(), file);
  held.add(file);
  try {
    while (!(await createFile(file, String(processId())))) await takeAway(folder, file);
  } catch (thrown) {
    held.delete(file);
    throw thrown;
  }
  return async () => {
    held.delete(file);
    await removeFile(file);
  };
}

/** Takes a dead process's file away. @throws InkstoneError `run_locked` where it is a living one's */
async function takeAway(folder: string, file: string): Promise<void> {
  const about = await facts(file);
  if (about === undefined) return;
  const text = await readText(file).catch(() => '');
  const holder = Number(text);
  if (holder > 0 && holder !== processId() && isAlive(holder)) throw locked(folder, holder, file);
  if (text === '' && now() - about.modified < NAMING) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return;
  }
  // Renamed before it is removed: whoever took it over in the meantime gets it back.
  const aside = `${file}.${processId()}`;
  try {
    await renameFile(file, aside);
  } catch (thrown) {
    if (InkstoneError.is(thrown) && thrown.code === 'file_missing') return;
    throw thrown;
  }
  if ((await readText(aside)) === text) await removeFile(aside);
  else await renameFile(aside, file);
}

function locked(folder: string, holder: number, file: string): InkstoneError {
  return new InkstoneError('run_locked', `process ${holder} is training in ${folder}`, {
    kind: 'conflict',
    hint: `wait for it, stop it, or choose another --out; if it is no training, delete ${file}`,
  });
}
