/**
 * A lock between processes that need not trust each other's timing: one file with the owner's process id.
 * A lock whose owner has died is taken over. Knows nothing of what it protects.
 */
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';

const OLDEST = 30 * 60 * 1000;

function ownerIsGone(file) {
  try {
    const text = readFileSync(file, 'utf8');
    const age = Date.now() - statSync(file).mtimeMs;
    const owner = Number(text);
    // Between creating the file and writing its number it is empty for a moment.
    if (!Number.isInteger(owner) || owner <= 0) return age > 5000;
    if (age > OLDEST) return true;
    process.kill(owner, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH' || error.code === 'ENOENT';
  }
}

/** Runs `work` while nobody else holds `file`; waits as long as the owner lives. */
export async function withLock(file, work) {
  mkdirSync(path.dirname(file), { recursive: true });
  for (;;) {
    try {
      const handle = openSync(file, 'wx');
      writeSync(handle, String(process.pid));
      closeSync(handle);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      if (ownerIsGone(file)) rmSync(file, { force: true });
      else await new Promise((resolve) => setTimeout(resolve, 40 + Math.random() * 40));
    }
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}
