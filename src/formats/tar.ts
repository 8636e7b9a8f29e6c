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

/** Files only; links, folders and devices are passed over. @throws InkstoneError `tar_corrupt` */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarPiece> {
  const reader = new BlockReader(source);
  let longName: string | undefined;
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
    const size = number(header.subarray(124, 136));
    if (!Number.isSafeInteger(size) || size < 0) throw corrupt('a header has no size');
    const type = String.fromCharCode(header[156] as number);
    const prefix = text(header.subarray(257, 262)) === 'ustar' ? text(header.subarray(345, 500)) : '';
    const own = text(header.subarray(0, 100));
    const name = longName ?? (prefix === '' ? own : `${prefix}/${own}`);
    if (type === 'L' || type === 'x') {
      const bytes = await reader.take(size);
      if (bytes === undefined || bytes.length < size) throw corrupt('it ends inside a name');
      longName = type === 'L' ? text(bytes) : (paxPath(bytes) ?? longName);
      await reader.skip(padding(size));
      continue;
    }
    longName = undefined;
    const isFile = type === '0' || type === '\0' || type === '7';
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

function paxPath(bytes: Uint8Array): string | undefined {
  return /(?:^|\n)\d+ path=([^\n]*)\n/.exec(new TextDecoder().decode(bytes))?.[1];
}

class BlockReader {
  private readonly source: AsyncIterator<Uint8Array>;
  private rest: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.source = source[Symbol.asyncIterator]();
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
