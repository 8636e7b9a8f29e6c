/** A file of token ids (u16 or u32, little-endian), read at any place. */
import { type OpenFile, openFile } from '../../base/host.ts';

/** Bytes of an id. */
export const tokenWidth = (vocabulary: number): 2 | 4 => (vocabulary > 65536 ? 4 : 2);

export class TokenFile {
  readonly length: number;
  private readonly file: OpenFile;
  private readonly width: 2 | 4;

  private constructor(file: OpenFile, width: 2 | 4) {
    this.file = file;
    this.width = width;
    this.length = file.size / width;
  }

  static async open(path: string, vocabulary: number): Promise<TokenFile> {
    return new TokenFile(await openFile(path, 'read'), tokenWidth(vocabulary));
  }

  /** `count` ids from `start`; fewer at the end. */
  async read(start: number, count: number): Promise<Int32Array<ArrayBuffer>> {
    const bytes = new Uint8Array(Math.max(0, Math.min(count, this.length - start)) * this.width);
    await this.file.read(bytes, start * this.width);
    return Int32Array.from(this.width === 2 ? new Uint16Array(bytes.buffer) : new Uint32Array(bytes.buffer));
  }

  close(): Promise<void> {
    return this.file.close();
  }
}
