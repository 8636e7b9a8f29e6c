/**
 * Several pictures, or a folder of them, as one file that can be sent: a tar archive (POSIX ustar) put together from the files
 * as they are, never read into memory. Knows no pictures.
 */

const BLOCK = 512;
/** The longest name of a ustar header, in bytes. */
const LONGEST = 100;

/** `digits/3/a.png` of a chosen folder `digits` → `3/a.png`: what stands in between is the class. */
function nameOf(file: File, index: number): string {
  const [, ...inside] = file.webkitRelativePath.split('/');
  const name = inside.length > 0 ? inside.join('/') : file.name;
  if (new TextEncoder().encode(name).length <= LONGEST) return name;
  // The class is kept where it can be; of the name itself only the ending matters.
  const folder = inside.length > 1 ? `${inside.at(-2)}/` : '';
  const ending = /\.[A-Za-z0-9]{1,5}$/.exec(name)?.[0] ?? '';
  const short = `${String(index).padStart(6, '0')}${ending}`;
  return new TextEncoder().encode(folder + short).length <= LONGEST ? folder + short : short;
}

function header(name: string, size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(BLOCK);
  const put = (at: number, text: string): void => bytes.set(new TextEncoder().encode(text), at);
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');
  put(0, name);
  put(100, `${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`);
  put(124, `${octal(size, 11)}\0${octal(0, 11)}\0`);
  // The sum is taken with blanks in its own place.
  put(148, '        0');
  put(257, 'ustar\u000000');
  put(
    148,
    `${octal(
      bytes.reduce((sum, value) => sum + value, 0),
      6,
    )}\0 `,
  );
  return bytes;
}

/** @param name of the archive, without its ending */
export function packed(files: readonly File[], name: string): File {
  const parts: BlobPart[] = [];
  files.forEach((file, index) => {
    parts.push(header(nameOf(file, index), file.size), file);
    const rest = file.size % BLOCK;
    if (rest > 0) parts.push(new Uint8Array(BLOCK - rest));
  });
  parts.push(new Uint8Array(2 * BLOCK));
  return new File(parts, `${name}.tar`, { type: 'application/x-tar' });
}

/** What is sent for what was given: one archive as it is, pictures packed together; undefined for nothing. */
export function toSend(given: readonly File[]): File | undefined {
  const [first] = given;
  if (first === undefined) return undefined;
  const folder = first.webkitRelativePath.split('/')[0] ?? '';
  const isPicture = /^image\//.test(first.type) || folder !== '';
  if (given.length === 1 && !isPicture) return first;
  return packed(
    // What systems leave in folders is no picture.
    given.filter(({ name }) => !name.startsWith('.') && name !== 'Thumbs.db'),
    folder === '' ? 'pictures' : folder,
  );
}
