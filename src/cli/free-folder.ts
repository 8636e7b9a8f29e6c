/** Where a command writes when nobody said: the first free number of a name. Knows folders, not what goes into them. */
import path from 'node:path';
import { InkstoneError } from '../base/errors.ts';
import { exists } from '../base/host.ts';

/** `runs-out/NAME-N` that is not there; signs that stand for no letter, digit, `.`, `_` or `-` become `-`. */
export const freeFolder = (name: string): Promise<string> => firstFree(name, ['.']);

/** `runs-out/NAME-N` with no run in it: a folder that a training left before its first checkpoint is taken again. */
export const freeRunFolder = (name: string): Promise<string> => firstFree(name, ['config.json', 'lock']);

/**
 * Where a model goes that is tuned from the one in `from`: the folder that was asked for, or a free one of that name.
 * @throws InkstoneError `out_invalid` where both are one
 */
export async function tunedFolder(out: string | undefined, name: string, from: string): Promise<string> {
  const folder = out ?? (await freeRunFolder(name));
  if (path.resolve(folder) !== path.resolve(from)) return folder;
  throw new InkstoneError('out_invalid', 'a model cannot be tuned into its own folder', {
    kind: 'usage',
    hint: 'choose another --out',
  });
}

async function firstFree(name: string, marks: readonly string[]): Promise<string> {
  const plain = name.replaceAll(/[^\p{L}\p{N}._-]/gu, '-');
  for (let n = 1; ; n++) {
    const folder = path.join('runs-out', `${plain}-${n}`);
    const taken = await Promise.all(marks.map((mark) => exists(path.join(folder, mark))));
    if (!taken.includes(true)) return folder;
  }
}
