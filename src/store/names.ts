/** What collections, rows and objects may be called, in every store alike. Knows no store. */
import { InkstoneError } from '../base/errors.ts';

/** Bytes of an id; twice as many and an ending fit every file system. */
const LONGEST_ID = 120;

/** @throws InkstoneError `collection_invalid` */
export function checkCollection(name: string): string {
  if (typeof name === 'string' && /^[a-z][a-z0-9_-]{0,62}$/.test(name)) return name;
  throw new InkstoneError('collection_invalid', `"${name}" is no name for a collection`, { kind: 'usage' });
}

/** @throws InkstoneError `row_id_invalid` */
export function checkId(id: string): string {
  const fits =
    typeof id === 'string' &&
    id !== '' &&
    !id.includes('\0') &&
    Buffer.byteLength(id) <= LONGEST_ID &&
    // Half a surrogate pair is no text.
    Buffer.from(id).toString() === id;
  if (fits) return id;
  throw new InkstoneError('row_id_invalid', `a row's id has 1 to ${LONGEST_ID} bytes of text`, {
    kind: 'usage',
  });
}

/** Order of ids: by their UTF-8 bytes, as PostgreSQL's collation "C" has it. */
export const byId = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** @throws InkstoneError `object_missing` for what cannot be an object's name */
export function checkHash(hash: string): string {
  if (/^[0-9a-f]{64}$/.test(hash)) return hash;
  throw new InkstoneError('object_missing', 'an object is named by 64 hexadecimal digits', {
    kind: 'missing',
  });
}

export const objectMissing = (hash: string): InkstoneError =>
  new InkstoneError('object_missing', `there is no object ${hash}`, { kind: 'missing' });

export const objectCorrupt = (hash: string): InkstoneError =>
  new InkstoneError('object_corrupt', `the object ${hash} does not match its hash`, {
    kind: 'data',
    hint: 'put it again from its source',
  });
