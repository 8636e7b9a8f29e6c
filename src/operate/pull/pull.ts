/**
 * A model from a hub, an address or a folder into the home folder, checked and registered. Two that pull the same do it
 * one after the other; one that was stopped goes on where it was.
 */
import path from 'node:path';
import { InkstoneError } from '../../base/errors.ts';
import { withLock } from '../../base/file-lock.ts';
import {
  copyFile,
  exists,
  facts,
  freeSpace,
  listFiles,
  makeFolder,
  readText,
  removeFile,
  renameFile,
  timestamp,
  writeFile,
} from '../../base/host.ts';
import { bytes as showBytes } from '../../base/progress.ts';
import type { ModelRegistry } from '../registry.ts';
import { type Downloaded, type DownloadOptions, digestOf, download } from './download.ts';
import { Hub } from './hub.ts';
import { isPickle, pickled, type RemoteFile, selectFiles } from './select.ts';
import { type PullSource, parseSource, safePath } from './source.ts';

export interface PullOptions extends Omit<DownloadOptions, 'onBytes'> {
  registry: ModelRegistry;
  /** The hub's address. */
  hub: string;
  /** The model's name; default: what the source calls it. */
  name?: string | undefined;
  /** For a single file at an address: what its SHA-256 has to be. */
  sha256?: string | undefined;
  /** Told of bytes done, of all files together. */
  onProgress?(state: { file: string; done: number; total: number | undefined }): void;
}

export interface PullResult {
  name: string;
  source: string;
  /** The commit, of a hub. */
  revision: string | null;
  /** The folder, or the GGUF file. */
  folder: string;
  files: { path: string; bytes: number; sha256: string }[];
  bytes: number;
  /** Bytes that were there before. */
  resumed: number;
}

/** What is written beside a pulled model. */
interface Manifest {
  source: string;
  revision: string | null;
  pulled: string;
  files: PullResult['files'];
}
const MANIFEST = 'pull.json';

/** What there is to fetch, and how each file comes to its place. */
interface Plan {
  name: string;
  source: string;
  revision: string | null;
  files: readonly RemoteFile[];
  bring(file: RemoteFile, to: string, onBytes: (done: number) => void): Promise<Downloaded>;
}

/** @throws InkstoneError `source_invalid`, `path_unsafe`, `model_pickled`, `choice_needed`, `checksum_differs`, `disk_full`, `model_exists`, and what fetching throws */
export async function pull(given: string, options: PullOptions): Promise<PullResult> {
  const source = parseSource(given);
  const plan =
    source.kind === 'hub'
      ? await fromHub(source, options)
      : source.kind === 'url'
        ? fromAddress(source.url, options)
        : await fromPath(source.path, options);
  const { registry } = options;
  const models = path.join(registry.home, 'models');
  const folder = path.join(models, plan.name.replaceAll('/', '--').replaceAll(':', '-'));
  await registry.requireFree(plan.name);
  await makeFolder(models);
  return withLock(`${folder}.lock`, () => bringAll(plan, folder, options));
}

async function bringAll(plan: Plan, folder: string, options: PullOptions): Promise<PullResult> {
  const before = await manifestOf(folder);
  if (before !== undefined && before.source !== plan.source)
    throw new InkstoneError('model_exists', `${plan.name} was pulled from ${before.source}`, {
      kind: 'conflict',
      hint: 'give this one another name with --name',
    });
  await makeFolder(folder);
  // The source stands there before the first byte, so that a stopped pull is known for what it is.
  if (before === undefined) await writeFile(path.join(folder, MANIFEST), manifestText(plan, []));
  await requireSpace(plan.files, folder);
  const total = plan.files.reduce((sum, { size }) => sum + size, 0);
  const known = plan.files.every(({ size }) => size > 0) ? total : undefined;
  const files: PullResult['files'] = [];
  let done = 0;
  let resumed = 0;
  for (const file of plan.files) {
    const tell = (count: number): void =>
      options.onProgress?.({ file: file.path, done: done + count, total: known });
    const brought = await plan.bring(file, path.join(folder, file.path), tell);
    done += brought.bytes;
    resumed += brought.resumed;
    files.push({ path: file.path, bytes: brought.bytes, sha256: brought.sha256 });
  }
  for (const { path: old } of before?.files ?? [])
    if (!files.some((file) => file.path === old)) await removeFile(path.join(folder, safePath(old)));
  await writeFile(path.join(folder, MANIFEST), manifestText(plan, files));
  const gguf = files.find((file) => /\.gguf$/i.test(file.path));
  const place = gguf === undefined ? folder : path.join(folder, gguf.path);
  await options.registry.register(plan.name, place);
  const { name, source, revision } = plan;
  return { name, source, revision, folder: place, files, bytes: done, resumed };
}

function manifestText({ source, revision }: Plan, files: PullResult['files']): string {
  const manifest: Manifest = { source, revision, pulled: timestamp(), files };
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

async function manifestOf(folder: string): Promise<Manifest | undefined> {
  const file = path.join(folder, MANIFEST);
  if (!(await exists(file))) return undefined;
  try {
    return JSON.parse(await readText(file)) as Manifest;
  } catch {
    return undefined;
  }
}

/** @throws InkstoneError `disk_full` */
async function requireSpace(files: readonly RemoteFile[], folder: string): Promise<void> {
  let needed = 0;
  for (const file of files) {
    const place = path.join(folder, file.path);
    const there = (await facts(place)) ?? (await facts(`${place}.part`));
    needed += Math.max(0, file.size - (there?.size ?? 0));
  }
  const free = await freeSpace(folder);
  if (free >= needed + 2 ** 24) return;
  throw new InkstoneError(
    'disk_full',
    `the model takes ${showBytes(needed)} more, the disk has ${showBytes(free)}`,
    {
      kind: 'resource',
      hint: 'free some space, or choose another place with INKSTONE_HOME',
      details: { needed, free },
    },
  );
}

async function fromHub(
  { repository, revision, file }: Extract<PullSource, { kind: 'hub' }>,
  options: PullOptions,
): Promise<Plan> {
  const hub = new Hub(options.hub, options);
  const commit = await hub.commit(repository, revision);
  const files = selectFiles(await hub.files(repository, commit), file);
  return {
    name: options.name ?? repository,
    source: `hf:${repository}${file !== undefined ? `/${file}` : ''}`,
    revision: commit,
    files,
    bring: (one, to, onBytes) =>
      download({ url: hub.address(repository, commit, one.path), file: to, ...one }, { ...options, onBytes }),
  };
}

function fromAddress(given: URL, options: PullOptions): Plan {
  const url = new URL(given);
  // The page about a file, as people copy it, instead of the file.
  url.pathname = url.pathname.replace(/^(\/[^/]+\/[^/]+)\/blob\//, '$1/resolve/');
  const file = safePath(decodeURIComponent(url.pathname.split('/').at(-1) ?? ''));
  if (isPickle(file)) throw pickled(file);
  if (!/\.gguf$/i.test(file))
    throw new InkstoneError('source_invalid', `${file} is no whole model by itself`, {
      kind: 'usage',
      hint: 'an address is to lead to a .gguf file; a folder of a hub is pulled as hf:owner/name',
    });
  return {
    name: options.name ?? nameOf(file),
    source: `${url.origin}${url.pathname}`,
    revision: null,
    files: [{ path: file, size: 0, sha256: options.sha256 }],
    bring: (one, to, onBytes) => download({ url, file: to, sha256: one.sha256 }, { ...options, onBytes }),
  };
}

/** A folder (its own files, and those of `onnx` and `1_Pooling`) or a GGUF file on this machine. */
async function fromPath(given: string, options: PullOptions): Promise<Plan> {
  const about = await facts(given);
  if (about === undefined)
    throw new InkstoneError('source_missing', `there is nothing at ${given}`, {
      kind: 'missing',
      hint: 'a hub’s model is written hf:owner/name',
    });
  const single = about.kind === 'file';
  if (single && isPickle(given)) throw pickled(given);
  const root = single ? path.dirname(given) : given;
  const sums = await checksums(root);
  const names = single ? [path.basename(given)] : await namesOf(root);
  const all: RemoteFile[] = [];
  for (const name of names) {
    const file = await facts(path.join(root, name));
    if (file?.kind === 'file') all.push({ path: name, size: file.size, sha256: sums.get(name) });
  }
  return {
    name: options.name ?? nameOf(path.basename(path.resolve(given))),
    source: path.resolve(given),
    revision: null,
    files: selectFiles(all, single ? path.basename(given) : undefined),
    bring: (one, to) => copied(path.join(root, one.path), to, one),
  };
}

/** A name that a model can have, out of a file's or folder's. */
function nameOf(file: string): string {
  const name = file.replace(/\.gguf$/i, '').replace(/[^\p{L}\p{N}._-]+/gu, '-');
  return name.replace(/^[^\p{L}\p{N}]+|\.\.+/gu, '').slice(0, 96) || 'model';
}

async function namesOf(root: string): Promise<string[]> {
  const names = await listFiles(root);
  for (const inner of ['onnx', '1_Pooling'])
    if ((await facts(path.join(root, inner)))?.kind === 'folder')
      names.push(...(await listFiles(path.join(root, inner))).map((name) => `${inner}/${name}`));
  return names;
}

/** A SHA256SUMS beside the files, as `sha256sum` writes it. */
async function checksums(root: string): Promise<Map<string, string>> {
  const file = path.join(root, 'SHA256SUMS');
  if ((await facts(file))?.kind !== 'file') return new Map();
  const lines = (await readText(file)).split('\n');
  return new Map(
    lines.flatMap((line) => {
      const [, sum, name] = /^([0-9a-f]{64}) [ *](?:\.\/)?(.+)$/.exec(line) ?? [];
      return sum === undefined || name === undefined ? [] : [[name, sum] as const];
    }),
  );
}

async function copied(from: string, to: string, { sha256 }: RemoteFile): Promise<Downloaded> {
  await makeFolder(path.dirname(to));
  const part = `${to}.part`;
  await copyFile(from, part);
  const size = (await facts(part))?.size ?? 0;
  const found = await digestOf(part, size);
  if (sha256 !== undefined && found.sha256 !== sha256) {
    await removeFile(part);
    throw new InkstoneError('checksum_differs', `${from} is not what its SHA256SUMS says`, {
      kind: 'data',
      hint: 'copy or fetch it again',
      details: { expected: sha256, found: found.sha256 },
    });
  }
  await renameFile(part, to);
  return { bytes: size, sha256: found.sha256, resumed: 0 };
}
