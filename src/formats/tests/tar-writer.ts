/** A small tar writer for tests (ustar, with GNU long names). */

export interface TarEntry {
  name: string;
  content?: string | Uint8Array;
  /** `0` file, `2` link, `5` folder. */
  type?: string;
}

const padded = (bytes: Uint8Array): Uint8Array => {
  const whole = new Uint8Array(Math.ceil(bytes.length / 512) * 512);
  whole.set(bytes);
  return whole;
};

export function tarHeader(name: string, size: number, type: string): Uint8Array {
  const header = new Uint8Array(512);
  const put = (text: string, at: number): void => header.set(new TextEncoder().encode(text), at);
  put(name.slice(0, 100), 0);
  put('0000644\0', 100);
  put(`${size.toString(8).padStart(11, '0')}\0`, 124);
  put('        ', 148);
  put(type, 156);
  put('ustar\u000000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

export function tar(entries: readonly TarEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { name, content = '', type = '0' } of entries) {
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    if (name.length > 100) {
      const long = new TextEncoder().encode(`${name}\0`);
      parts.push(tarHeader('././@LongLink', long.length, 'L'), padded(long));
    }
    parts.push(tarHeader(name, bytes.length, type), padded(bytes));
  }
  parts.push(new Uint8Array(1024));
  return Uint8Array.from(Buffer.concat(parts));
}
