/** Which home folder this is among all that share a store: what lies in one is not in the others. Knows no jobs. */
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { withLock } from '../base/file-lock.ts';
import { exists, makeFolder, readText, writeFile } from '../base/host.ts';

/** A name that a home folder gets once and keeps; servers on one folder have the same. */
export async function placeOf(home: string): Promise<string> {
  const file = path.join(home, 'place');
  await makeFolder(home);
  return withLock(`${file}.lock`, async () => {
    if (!(await exists(file))) await writeFile(file, randomUUID());
    return (await readText(file)).trim();
  });
}
