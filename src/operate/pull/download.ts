/**
 * One file onto the disk: what is there already is gone on from, cut connections are taken up again, every byte is
 * checked, and the file gets its name only when it is whole and right. Knows no hub.
 */
import { createHash, type Hash } from 'node:crypto';
import path from 'node:path';
import { InkstoneError } from '../../base/errors.ts';
import {
  facts,
  makeFolder,
  openFile,
  readStream,
  readText,
  removeFile,
  renameFile,
  syncFolder,
  writeFile,
} from '../../base/host.ts';
import { get, type RequestOptions } from './http.ts';
import { Intake } from './intake.ts';

export interface Download {
  url: URL;
  /** Where it is to stand. */
  file: string;
  /** What the source says of it; what it does not say is taken from the answer's own headers. */
  size?: number | undefined;
  sha256?: string | undefined;
  gitOid?: string | undefined;
}

export interface DownloadOptions extends RequestOptions {
  /** Tries without a new byte between, after which it is given up. */
  tries?: number;
  /** Milliseconds before the second try; doubled for each further one. */
  pause?: number;
  onBytes?(done: number, total: number | undefined): void;
}

export interface Downloaded {
  bytes: number;
  sha256: string;
  /** Bytes that were there before. */
  resumed: number;
}

/** What a part belongs to: another version's bytes must not be gone on from. */
interface PartNote {
  url: string;
  etag: string | undefined;
  sha256: string | undefined;
}

const HEX64 = /^[0-9a-f]{64}$/;
const plain = (etag: string | undefined): string | undefined => etag?.replace(/^W\//, '').replaceAll('"', '');

/** Hashes both ways: a hub says SHA-256 for large files and Git's SHA-1 for small ones. */
class Digest {
  private readonly sha256 = createHash('sha256');
  private readonly git: Hash | undefined;

  constructor(size: number | undefined) {
    this.git = size === undefined ? undefined : createHash('sha1').update(`blob ${size}\0`);
  }

  update(bytes: Uint8Array): void {
    this.sha256.update(bytes);
    this.git?.update(bytes);
  }

  end(): { sha256: string; git: string | undefined } {
    return { sha256: this.sha256.digest('hex'), git: this.git?.digest('hex') };
  }
}

function differs(file: string, what: string, expected: unknown, found: unknown): InkstoneError {
  return new InkstoneError(
    'checksum_differs',
    `${path.basename(file)} came with another ${what} than its source says`,
    {
      kind: 'data',
      hint: 'repeat; if it stays so, do not trust this source',
      details: { expected, found },
    },
  );
}

/** The digest of a file on the disk. */
export async function digestOf(
  file: string,
  size: number,
): Promise<{ sha256: string; git: string | undefined }> {
  const digest = new Digest(size);
  for await (const piece of readStream(file)) digest.update(piece as Uint8Array);
  return digest.end();
}

/** Whether the file stands there whole and right already; undefined where it does not. */
async function present({ file, size, sha256, gitOid }: Download): Promise<Downloaded | undefined> {
  const about = await facts(file);
  if (about?.kind !== 'file' || (sha256 === undefined && gitOid === undefined)) return undefined;
  if (size !== undefined && about.size !== size) return undefined;
  const found = await digestOf(file, about.size);
  const right = sha256 === undefined ? found.git === gitOid : found.sha256 === sha256;
  return right ? { bytes: about.size, sha256: found.sha256, resumed: about.size } : undefined;
}

/** @throws InkstoneError `checksum_differs`, `pull_failed`, `hub_denied`, `file_not_found`, `redirect_refused`, `cancelled`, `disk_full` */
export async function download(wanted: Download, options: DownloadOptions = {}): Promise<Downloaded> {
  const already = await present(wanted);
  if (already !== undefined) return already;
  await makeFolder(path.dirname(wanted.file));
  const part = `${wanted.file}.part`;
  const kept = await resumable(part, wanted);
  let done = kept;
  const { tries = 6, pause = 500 } = options;
  for (let failures = 0; ; ) {
    const before = done;
    try {
      const total = await attempt(wanted, part, done, options);
      const result = await finish(wanted, part, total);
      return { ...result, resumed: kept };
    } catch (thrown) {
      const error = InkstoneError.from(thrown, 'pull_failed');
      done = (await facts(part))?.size ?? 0;
      if (error.code !== 'pull_failed') {
        if (error.code === 'checksum_differs') await drop(part);
        throw error;
      }
      failures = done > before ? 1 : failures + 1;
      if (failures >= tries) throw error;
      await wait(pause * 2 ** (failures - 1), options.signal);
    }
  }
}

/** Bytes of a part that may be gone on from. */
async function resumable(part: string, { url, sha256 }: Download): Promise<number> {
  const about = await facts(part);
  if (about === undefined) return 0;
  try {
    const note = JSON.parse(await readText(`${part}.json`)) as PartNote;
    if (sha256 === undefined ? note.url === url.href && note.etag !== undefined : note.sha256 === sha256)
      return about.size;
  } catch {
    // No note, or half a one.
  }
  await drop(part);
  return 0;
}

async function drop(part: string): Promise<void> {
  await removeFile(part);
  await removeFile(`${part}.json`);
}

async function noteOf(part: string): Promise<PartNote | undefined> {
  try {
    return JSON.parse(await readText(`${part}.json`)) as PartNote;
  } catch {
    return undefined;
  }
}

/** What the answer itself says of the file. */
interface Told {
  total: number | undefined;
  sha256: string | undefined;
  gitOid: string | undefined;
}

/** Goes on from `from`; resolves when the answer has ended where it said it would. */
async function attempt(
  wanted: Download,
  part: string,
  from: number,
  options: DownloadOptions,
): Promise<Told> {
  const etag = (await noteOf(part))?.etag;
  const headers: Record<string, string> =
    from > 0 ? { range: `bytes=${from}-`, ...(etag === undefined ? {} : { 'if-range': `"${etag}"` }) } : {};
  const { status, headers: own, first, body } = await get(wanted.url, { ...options, headers });
  const intake = new Intake(body);
  try {
    if (status !== 200 && status !== 206 && status !== 416) throw unfit(status, wanted);
    const linked = plain(first['x-linked-etag'] as string | undefined);
    const named = linked ?? plain(own.etag);
    if (status === 416 || (status === 206 && startOf(own['content-range']) !== from)) {
      await drop(part);
      throw new InkstoneError('pull_failed', `${wanted.url.host} cannot go on in mid-file`, {
        kind: 'resource',
      });
    }
    const begin = status === 206 ? from : 0;
    const length = own['content-length'] === undefined ? undefined : Number(own['content-length']);
    const told: Told = {
      total: wanted.size ?? (length === undefined ? undefined : begin + length),
      sha256: wanted.sha256 ?? (named !== undefined && HEX64.test(named) ? named : undefined),
      gitOid: wanted.gitOid,
    };
    if (wanted.size !== undefined && length !== undefined && begin + length !== wanted.size)
      throw differs(wanted.file, 'length', wanted.size, begin + length);
    await writeFile(
      `${part}.json`,
      JSON.stringify({
        url: wanted.url.href,
        etag: plain(own.etag),
        sha256: wanted.sha256,
      } satisfies PartNote),
    );
    await append(intake, part, begin, told.total, wanted, options);
    return told;
  } finally {
    body.destroy();
  }
}

function startOf(range: string | undefined): number | undefined {
  const start = /^bytes (\d+)-/.exec(range ?? '')?.[1];
  return start === undefined ? undefined : Number(start);
}

async function append(
  intake: Intake,
  part: string,
  begin: number,
  total: number | undefined,
  { file, url }: Download,
  { onBytes, signal }: DownloadOptions,
): Promise<void> {
  const out = await openFile(part, begin === 0 ? 'write' : 'append');
  let done = begin;
  try {
    for await (const piece of intake) {
      done += piece.length;
      if (total !== undefined && done > total) throw differs(file, 'length', total, `more than ${total}`);
      await out.write(piece);
      onBytes?.(done, total);
    }
    await out.sync();
  } catch (thrown) {
    if (InkstoneError.is(thrown)) throw thrown;
    if (signal?.aborted === true)
      throw new InkstoneError('cancelled', 'stopped before the end', { kind: 'conflict', cause: thrown });
    throw broken(url, thrown);
  } finally {
    await out.close();
  }
  if (total !== undefined && done < total) throw broken(url);
}

const broken = (url: URL, cause?: unknown): InkstoneError =>
  new InkstoneError('pull_failed', `${url.host} broke off in mid-file`, {
    kind: 'resource',
    hint: 'repeat the command: it goes on where it stopped',
    cause,
  });

/** Checks the whole part and gives it its name. */
async function finish(wanted: Download, part: string, told: Told): Promise<Omit<Downloaded, 'resumed'>> {
  const size = (await facts(part))?.size ?? 0;
  if (told.total !== undefined && size !== told.total) throw differs(wanted.file, 'length', told.total, size);
  const found = await digestOf(part, size);
  if (told.sha256 !== undefined && found.sha256 !== told.sha256)
    throw differs(wanted.file, 'SHA-256', told.sha256, found.sha256);
  if (told.sha256 === undefined && told.gitOid !== undefined && found.git !== told.gitOid)
    throw differs(wanted.file, 'checksum', told.gitOid, found.git);
  await renameFile(part, wanted.file);
  await removeFile(`${part}.json`);
  await syncFolder(path.dirname(wanted.file));
  return { bytes: size, sha256: found.sha256 };
}

function unfit(status: number, { url }: Download): InkstoneError {
  const name = decodeURIComponent(url.pathname.split('/').at(-1) ?? '');
  if (status === 401 || status === 403)
    return new InkstoneError('hub_denied', `${url.host} does not give ${name} to everybody (${status})`, {
      kind: 'denied',
      hint: 'ask for access there and set INKSTONE_HUB_TOKEN',
    });
  if (status === 404 || status === 410)
    return new InkstoneError('file_not_found', `there is no ${name} at ${url.host}`, { kind: 'missing' });
  if (status === 429 || status >= 500)
    return new InkstoneError('pull_failed', `${url.host} answers ${status}`, {
      kind: 'resource',
      hint: 'try again later: it goes on where it stopped',
    });
  return new InkstoneError('hub_unexpected', `${url.host} answers ${status} for ${name}`, { kind: 'data' });
}

function wait(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(new InkstoneError('cancelled', 'stopped before the end', { kind: 'conflict' }));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', stop, { once: true });
  });
}
