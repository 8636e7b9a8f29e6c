/**
 * What every store must do, as checks that a test runs against a store it opened: rows, their order and cursors,
 * objects by content. Knows no particular store and no test runner; a check throws where the store is wrong.
 */
import { createHash } from 'node:crypto';
import type { Row, Store, StoredObject } from '../base/contracts/store.ts';
import { InkstoneError, invariant } from '../base/errors.ts';
import { now } from '../base/host.ts';

export interface StoreCheck {
  name: string;
  /** Half of the store that it needs. */
  about: 'rows' | 'objects';
  /** @param store an empty store @throws InkstoneError `invariant_broken` where it does not conform */
  run(store: Store): Promise<void>;
}

interface Note extends Row {
  text: string;
}

const same = (actual: unknown, expected: unknown, what: string): void =>
  invariant(
    JSON.stringify(actual) === JSON.stringify(expected),
    `${what}: ${JSON.stringify(actual)} is not ${JSON.stringify(expected)}`,
  );

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (thrown) {
    return InkstoneError.is(thrown) ? thrown.code : String(thrown);
  }
  return 'nothing thrown';
}

async function all(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const read: Uint8Array[] = [];
  for await (const piece of pieces) read.push(piece);
  return Buffer.concat(read).toString();
}

/** Ids that file systems and SQL would trip over. */
const HARD_IDS = [
  '../up',
  'A',
  'a',
  'a/b',
  '..',
  '墨',
  "'; drop",
  'a b',
  'con',
  '%2e',
  '.hidden',
  '=61',
  '\uffee',
  '𝛑',
  '\n',
  '\u007f',
];

const rowChecks: StoreCheck[] = [
  {
    about: 'rows',
    name: 'a row that was put is got, replaced and removed',
    async run({ rows }) {
      same(await rows.get('notes', 'a'), undefined, 'a row that is not there');
      await rows.put<Note>('notes', { id: 'a', text: '墨 "ink"\n' });
      same(await rows.get('notes', 'a'), { id: 'a', text: '墨 "ink"\n' }, 'the row');
      await rows.put<Note>('notes', { id: 'a', text: 'other' });
      same((await rows.get<Note>('notes', 'a'))?.text, 'other', 'the newer row');
      same(await rows.remove('notes', 'a'), true, 'removing it');
      same(await rows.remove('notes', 'a'), false, 'removing it again');
      same(await rows.get('notes', 'a'), undefined, 'a removed row');
    },
  },
  {
    about: 'rows',
    name: 'collections keep apart',
    async run({ rows }) {
      await rows.put<Note>('one', { id: 'a', text: '1' });
      await rows.put<Note>('two', { id: 'a', text: '2' });
      same(
        (await rows.list<Note>('one')).map((row) => row.text),
        ['1'],
        'the first collection',
      );
      same(await rows.list('three'), [], 'a collection that nobody made');
    },
  },
  {
    about: 'rows',
    name: 'any text is an id, and each is its own',
    async run({ rows }) {
      for (const id of HARD_IDS) await rows.put<Note>('notes', { id, text: id });
      for (const id of HARD_IDS) same((await rows.get<Note>('notes', id))?.text, id, `the row ${id}`);
      same(
        (await rows.list('notes')).map((row) => row.id),
        [...HARD_IDS].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
        'all ids in order',
      );
    },
  },
  {
    about: 'rows',
    name: 'lists go on behind a cursor, there or not, up to a limit',
    async run({ rows }) {
      for (const id of ['d', 'b', 'a', 'c']) await rows.put<Note>('notes', { id, text: id });
      const ids = async (options: { after?: string; limit?: number }): Promise<string[]> =>
        (await rows.list('notes', options)).map((row) => row.id);
      same(await ids({}), ['a', 'b', 'c', 'd'], 'the list');
      same(await ids({ after: 'a', limit: 2 }), ['b', 'c'], 'two behind a');
      same(await ids({ after: 'bb' }), ['c', 'd'], 'behind a cursor that is not there');
      same(await ids({ after: 'd' }), [], 'behind the last');
      same(await ids({ limit: 0 }), [], 'none');
    },
  },
  {
    about: 'rows',
    name: 'bad names are refused',
    async run({ rows }) {
      same(await codeOf(rows.get('../etc', 'a')), 'collection_invalid', 'a path as a collection');
      same(await codeOf(rows.put('notes', { id: '' })), 'row_id_invalid', 'an empty id');
      same(await codeOf(rows.put('notes', { id: 'x'.repeat(1000) })), 'row_id_invalid', 'a very long id');
      same(await codeOf(rows.put('notes', { id: 'a\0b' })), 'row_id_invalid', 'a zero byte');
      same(await codeOf(rows.put('notes', { id: '\ud800' })), 'row_id_invalid', 'half a pair');
      same(await codeOf(rows.update('no such', 'a', () => undefined)), 'collection_invalid', 'a space');
      same(await codeOf(rows.list('-')), 'collection_invalid', 'a dash');
    },
  },
  {
    about: 'rows',
    name: 'many writers leave whole rows',
    async run({ rows }) {
      const texts = Array.from({ length: 40 }, (_, i) => String(i).repeat(2000));
      await Promise.all(texts.map((text) => rows.put<Note>('notes', { id: 'a', text })));
      const row = await rows.get<Note>('notes', 'a');
      invariant(row !== undefined && texts.includes(row.text), 'one of the writes, whole');
    },
  },
  {
    about: 'rows',
    name: 'what a row holds comes back as JSON has it, in its order',
    async run({ rows }) {
      const row = {
        id: 'a',
        z: [1, -0.5, 1e300, null, true, 9007199254740991],
        a: { 'b"\\': 'zero \0, half \ud800, 墨, \u2028' },
        '': [],
      };
      await rows.put('notes', row);
      const got = await rows.get('notes', 'a');
      same(got, row, 'the row');
      same(Object.keys(got ?? {}), Object.keys(row), 'the order of its fields');
    },
  },
  {
    about: 'rows',
    name: 'changes of one row exclude each other',
    async run({ rows }) {
      interface Tally extends Row {
        n: number;
      }
      const add = (row: Tally | undefined): Tally => ({ id: 'a', n: (row?.n ?? 0) + 1 });
      await Promise.all(Array.from({ length: 24 }, () => rows.update<Tally>('tally', 'a', add)));
      same(await rows.get('tally', 'a'), { id: 'a', n: 24 }, 'after 24 changes');
      same(await rows.update('tally', 'a', () => undefined), { id: 'a', n: 24 }, 'left as it is');
      same(await rows.update('tally', 'b', () => undefined), undefined, 'none made');
      same(await rows.get('tally', 'b'), undefined, 'none there');
      const made = await Promise.all(
        ['x', 'y', 'z'].map((text) =>
          rows.update<Note>('notes', 'one', (row) => (row === undefined ? { id: 'one', text } : undefined)),
        ),
      );
      same(new Set(made.map((row) => row?.text)).size, 1, 'one of three who made it');
      const failing = rows.update('tally', 'a', () => {
        throw new InkstoneError('change_failed', 'no');
      });
      same(await codeOf(failing), 'change_failed', 'an error of the change');
      same((await rows.update<Tally>('tally', 'a', add))?.n, 25, 'and on');
      const away = (n: number) => (row: Tally | undefined) => (row?.n === n ? null : undefined);
      same(await rows.update<Tally>('tally', 'a', away(24)), { id: 'a', n: 25 }, 'not taken away');
      const gone = await Promise.all([1, 2, 3].map(() => rows.update<Tally>('tally', 'a', away(25))));
      same(gone, [undefined, undefined, undefined], 'taken away');
      same(await rows.get('tally', 'a'), undefined, 'gone');
    },
  },
  {
    about: 'rows',
    name: 'collections and their sizes are told',
    async run({ rows }) {
      same(await rows.collections(), [], 'none');
      await rows.put('two', { id: 'a' });
      await rows.put('one', { id: 'a' });
      await rows.put('one', { id: '..' });
      await rows.put('three', { id: 'a' });
      await rows.remove('three', 'a');
      same(await rows.collections(), ['one', 'two'], 'those with rows');
      same(
        [await rows.count('one'), await rows.count('three'), await rows.count('four')],
        [2, 0, 0],
        'sizes',
      );
    },
  },
];

const objectChecks: StoreCheck[] = [
  {
    about: 'objects',
    name: 'an object is named by its SHA-256, whole or in pieces, and stored once',
    async run({ objects }) {
      const bytes = Buffer.from('ink'.repeat(1000));
      const hash = createHash('sha256').update(bytes).digest('hex');
      same(await objects.has(hash), false, 'before');
      same(await objects.put(bytes), { hash, size: 3000 }, 'put');
      async function* pieces(): AsyncGenerator<Uint8Array> {
        yield bytes.subarray(0, 7);
        yield new Uint8Array(0);
        yield bytes.subarray(7);
      }
      same(await objects.put(pieces()), { hash, size: 3000 }, 'put in pieces');
      same(await all(objects.get(hash)), bytes.toString(), 'got');
      same(await objects.remove(hash), true, 'removing it');
      same([await objects.has(hash), await objects.remove(hash)], [false, false], 'after');
    },
  },
  {
    about: 'objects',
    name: 'all objects are listed, with size and time',
    async run({ objects }) {
      const hashes: string[] = [];
      for (let i = 0; i < 5; i++) hashes.push((await objects.put(Buffer.from('x'.repeat(i)))).hash);
      const found: StoredObject[] = [];
      for await (const one of objects.list()) found.push(one);
      same(
        found.map((one) => one.hash),
        [...hashes].sort(),
        'hashes in order',
      );
      same(found.map((one) => one.size).sort(), [0, 1, 2, 3, 4], 'sizes');
      invariant(
        found.every(({ modified }) => Math.abs(modified - now()) < 3_600_000),
        'put just now',
      );
    },
  },
  {
    about: 'objects',
    name: 'a large object comes back whole',
    async run({ objects }) {
      const piece = createHash('sha512').update('ink').digest();
      async function* pieces(): AsyncGenerator<Uint8Array> {
        for (let i = 0; i < 300; i++) yield Buffer.alloc(65_536 + i, piece);
      }
      const { hash, size } = await objects.put(pieces());
      const digest = createHash('sha256');
      let read = 0;
      for await (const one of objects.get(hash)) {
        digest.update(one);
        read += one.length;
      }
      same([read, digest.digest('hex')], [size, hash], 'what was read');
    },
  },
  {
    about: 'objects',
    name: 'an empty object is an object',
    async run({ objects }) {
      const { hash, size } = await objects.put(new Uint8Array(0));
      same([size, await all(objects.get(hash)), await objects.has(hash)], [0, '', true], 'nothing');
    },
  },
  {
    about: 'objects',
    name: 'objects that are not there, and names that are none, are missing',
    async run({ objects }) {
      for (const hash of ['0'.repeat(64), '../../etc/passwd', ''])
        same(await codeOf(all(objects.get(hash))), 'object_missing', hash);
    },
  },
  {
    about: 'objects',
    name: 'a source that fails leaves nothing behind',
    async run({ objects }) {
      async function* broken(): AsyncGenerator<Uint8Array> {
        yield Buffer.from('half');
        throw new InkstoneError('source_failed', 'the line broke');
      }
      same(await codeOf(objects.put(broken())), 'source_failed', 'its error');
      same(await objects.has(createHash('sha256').update('half').digest('hex')), false, 'the half');
    },
  },
];

export const storeChecks: readonly StoreCheck[] = [...rowChecks, ...objectChecks];
