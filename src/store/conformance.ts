/**
 * What every store must do, as checks that a test runs against a store it opened: rows, their order and cursors,
 * objects by content. Knows no particular store and no test runner; a check throws where the store is wrong.
 */
import { createHash } from 'node:crypto';
import type { Row, Store } from '../base/contracts/store.ts';
import { InkstoneError, invariant } from '../base/errors.ts';

export interface StoreCheck {
  name: string;
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
const HARD_IDS = ['../up', 'A', 'a', 'a/b', '..', '墨', "'; drop", 'a b', 'con', '%2e', '.hidden', '=61'];

const rowChecks: StoreCheck[] = [
  {
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
    name: 'any text is an id, and each is its own',
    async run({ rows }) {
      for (const id of HARD_IDS) await rows.put<Note>('notes', { id, text: id });
      for (const id of HARD_IDS) same((await rows.get<Note>('notes', id))?.text, id, `the row ${id}`);
      same(
        (await rows.list('notes')).map((row) => row.id),
        [...HARD_IDS].sort(),
        'all ids in order',
      );
    },
  },
  {
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
    name: 'bad names are refused',
    async run({ rows }) {
      same(await codeOf(rows.get('../etc', 'a')), 'collection_invalid', 'a path as a collection');
      same(await codeOf(rows.put('notes', { id: '' })), 'row_id_invalid', 'an empty id');
      same(await codeOf(rows.put('notes', { id: 'x'.repeat(1000) })), 'row_id_invalid', 'a very long id');
    },
  },
  {
    name: 'many writers leave whole rows',
    async run({ rows }) {
      const texts = Array.from({ length: 40 }, (_, i) => String(i).repeat(2000));
      await Promise.all(texts.map((text) => rows.put<Note>('notes', { id: 'a', text })));
      const row = await rows.get<Note>('notes', 'a');
      invariant(row !== undefined && texts.includes(row.text), 'one of the writes, whole');
    },
  },
];

const objectChecks: StoreCheck[] = [
  {
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
    name: 'an empty object is an object',
    async run({ objects }) {
      const { hash, size } = await objects.put(new Uint8Array(0));
      same([size, await all(objects.get(hash)), await objects.has(hash)], [0, '', true], 'nothing');
    },
  },
  {
    name: 'objects that are not there, and names that are none, are missing',
    async run({ objects }) {
      for (const hash of ['0'.repeat(64), '../../etc/passwd', ''])
        same(await codeOf(all(objects.get(hash))), 'object_missing', hash);
    },
  },
  {
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
