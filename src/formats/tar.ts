/** Reads tar archives (ustar, GNU and pax long names) from a stream, one file after another, in pieces. */
import { InkstoneError } from '../base/errors.ts';

export interface TarPiece {
  /** Path in the archive. */
  name: string;
  bytes: Uint8Array;
  /** The last piece of this file (empty files give one empty piece). */
  last: boolean;
}

const BLOCK = 512;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).replace(/\0.*$/s, '');

function number(bytes: Uint8Array): number {
  if (((bytes[0] as number) & 0x80) !== 0) {
    // GNU base-256 for sizes of 8 GiB and more.
    return bytes.subarray(1).reduce((total, byte) => total * 256 + byte, (bytes[0] as number) & 0x7f);
  }
  return Number.parseInt(text(bytes).trim() || '0', 8);
}

/** Nobody's path is longer than this; a claim of more is damage. */
const LONGEST_NAME = 1 << 20;

/**
 * Files only; links, folders and devices are passed over. The source is closed when the reading ends early.
 * @throws InkstoneError `tar_corrupt`
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarPiece, void, undefined> {
  const reader = new BlockReader(source);
  try {
    yield* readFiles(reader);
  } finally {
    await reader.close();
  }
}

async function* readFiles(reader: BlockReader): AsyncGenerator<TarPiece, void, undefined> {
  // What the headers before a file's own say of it.
  let about: { path?: string; size?: number } = {};
  for (;;) {
    const header = await reader.take(BLOCK);
    if (header === undefined) return;
    if (header.every((byte) => byte === 0)) {
      // To the very end: what unpacks the archive checks its sums there.
      while ((await reader.some(1 << 20)) !== undefined);
      return;
    }
    if (header.length < BLOCK) throw corrupt('it ends inside a header');
    checkSum(header);
    const type = String.fromCharCode(header[156] as number);
    const ownSize = number(header.subarray(124, 136));
    if (!Number.isSafeInteger(ownSize) || ownSize < 0) throw corrupt('a header has no size');
    if (type === 'L' || type === 'x') {
      const bytes = ownSize > LONGEST_NAME ? undefined : await reader.take(ownSize);
      if (bytes === undefined || bytes.length < ownSize) throw corrupt('it ends inside a name');
      about = type === 'L' ? { ...about, path: text(bytes) } : { ...about, ...paxRecords(bytes) };
      await reader.skip(padding(ownSize));
      continue;
    }
    // Long names of links, and notes about the whole archive, may stand between a file and what is said of it.
    const isNote = type === 'K' || type === 'g';
    const size = isNote ? ownSize : (about.size ?? ownSize);
    const name = about.path ?? headerPath(header);
    if (!isNote) about = {};
    const isFile = type === '0' || type === '7' || (type === '\0' && !name.endsWith('/'));
    let left = size;
    if (isFile && size === 0) yield { name, bytes: new Uint8Array(0), last: true };
    while (left > 0) {
      const bytes = await reader.some(left);
      if (bytes === undefined) throw corrupt(`it ends inside ${name}`);
      left -= bytes.length;
      if (isFile) yield { name, bytes, last: left === 0 };
    }
    await reader.skip(padding(size));
  }
}

function headerPath(header: Uint8Array): string {
  const prefix = text(header.subarray(257, 262)) === 'ustar' ? text(header.subarray(345, 500)) : '';
  const own = text(header.subarray(0, 100));
  return prefix === '' ? own : `${prefix}/${own}`;
}

const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;

function corrupt(why: string): InkstoneError {
  return new InkstoneError('tar_corrupt', `the archive is damaged: ${why}`, {
    kind: 'data',
    hint: 'fetch or pack it again',
  });
}

function checkSum(header: Uint8Array): void {
  const wanted = number(header.subarray(148, 156));
  const sum = header.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0);
  if (sum !== wanted) throw corrupt('a header has the wrong checksum');
}

/** Records are `LENGTH KEY=VALUE\n`; the length counts the whole record, in bytes, so values may hold anything. */
function paxRecords(bytes: Uint8Array): { path?: string; size?: number } {
  const found: { path?: string; size?: number } = {};
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(32, at);
    const length = Number(text(bytes.subarray(at, Math.max(at, space))));
    if (space < 0 || !Number.isInteger(length) || length <= space - at || at + length > bytes.length)
      throw corrupt('it has a malformed pax header');
    const record = new TextDecoder().decode(bytes.subarray(space + 1, at + length - 1));
    const [, key, value] = /^([^=]*)=(.*)$/s.exec(record) ?? [];
    if (key === 'path') found.path = value as string;
    else if (key === 'size' && /^\d+$/.test(value as string)) found.size = Number(value);
    at += length;
  }
  return found;
}

class BlockReader {
  private readonly source: AsyncIterator<Uint8Array>;
  private rest: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.source = source[Symbol.asyncIterator]();
  }

  async close(): Promise<void> {
    await this.source.return?.();
  }

  private async fill(): Promise<boolean> {
    while (this.rest.length === 0) {
      const { value, done } = await this.source.next();
      if (done === true) return false;
      this.rest = value;
    }
    return true;
  }

  /** Up to `limit` bytes, as they come; undefined at the end. */
  async some(limit: number): Promise<Uint8Array | undefined> {
    if (!(await this.fill())) return undefined;
    const part = this.rest.subarray(0, limit);
    this.rest = this.rest.subarray(part.length);
    return part;
  }

  /** `size` bytes; fewer, or undefined, at the end. */
  async take(size: number): Promise<Uint8Array | undefined> {
    const parts: Uint8Array[] = [];
    let left = size;
    while (left > 0) {
      const part = await this.some(left);
      if (part === undefined) break;
      parts.push(part);
      left -= part.length;
    }
    if (parts.length === 0 && size > 0) return undefined;
    const whole = new Uint8Array(size - left);
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  async skip(size: number): Promise<void> {
    await this.take(size);
  }
}
