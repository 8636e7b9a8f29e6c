/** Which code this is: the package's version and, in a checkout, its commit. Reads git's files; runs no git. */
import path from 'node:path';
import { InkstoneError } from './errors.ts';
import { exists, facts, packageFolder, readText } from './host.ts';

/** `version` of package.json. */
export async function packageVersion(folder: string = packageFolder): Promise<string> {
  const text = await readText(path.join(folder, 'package.json'));
  return String((JSON.parse(text) as { version?: unknown }).version ?? '0.0.0');
}

/** The folder that holds the branches: `.git`, or what a linked worktree's `.git` file and `commondir` point to. */
async function gitFolders(folder: string): Promise<{ own: string; common: string } | undefined> {
  const git = path.join(folder, '.git');
  const found = await facts(git);
  if (found === undefined) return undefined;
  if (found.kind === 'folder') return { own: git, common: git };
  const pointer = /^gitdir: (.+)$/m.exec(await readText(git))?.[1]?.trim();
  if (pointer === undefined) return undefined;
  const own = path.resolve(folder, pointer);
  const commonFile = path.join(own, 'commondir');
  const common = (await exists(commonFile)) ? path.resolve(own, (await readText(commonFile)).trim()) : own;
  return { own, common };
}

/** The checked-out commit, 40 hex digits; undefined outside a checkout (an installed package). */
export async function commitOf(folder: string = packageFolder): Promise<string | undefined> {
  try {
    const git = await gitFolders(folder);
    if (git === undefined) return undefined;
    const head = (await readText(path.join(git.own, 'HEAD'))).trim();
    const branch = /^ref: (.+)$/.exec(head)?.[1];
    if (branch === undefined) return head;
    const loose = path.join(git.common, branch);
    if (await exists(loose)) return (await readText(loose)).trim();
    const packed = await readText(path.join(git.common, 'packed-refs'));
    return packed
      .split('\n')
      .find((line) => line.endsWith(` ${branch}`))
      ?.split(' ')[0];
  } catch (thrown) {
    if (InkstoneError.is(thrown)) return undefined;
    throw thrown;
  }
}

/** `0.1.0+1a2b3c4d5e6f` in a checkout, `0.1.0` elsewhere: what run folders and metrics name. */
export async function codeVersion(folder: string = packageFolder): Promise<string> {
  const [version, commit] = await Promise.all([packageVersion(folder), commitOf(folder)]);
  return commit === undefined ? version : `${version}+${commit.slice(0, 12)}`;
}
