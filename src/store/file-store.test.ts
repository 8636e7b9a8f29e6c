/** The file store: what every store must do, what a damaged folder tells, and random histories against a map. */
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Row } from '../base/contracts/store.ts';
import { openFileStore, storeChecks } from './index.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'inkstone-store-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('what every store must do', () => {
  it.each(storeChecks)('$name', async ({ run }) => {
    const store = await openFileStore(folder);
    await run(store);
    await store.close();
  });
});

describe('the file store', () => {
  it('finds everything again when it is opened anew', async () => {
    const before = await openFileStore(folder);
    await before.rows.put('notes', { id: 'a', text: 'x' });
    const { hash } = await before.objects.put(Buffer.from('bytes'));
    await before.close();
    const after = await openFileStore(folder);
    expect(await after.rows.get('notes', 'a')).toEqual({ id: 'a', text: 'x' });
    expect(await after.objects.has(hash)).toBe(true);
  });

  it('tells of damage with the file’s name', async () => {
    const store = await openFileStore(folder);
    await store.rows.put('notes', { id: 'a' });
    await writeFile(path.join(folder, 'rows', 'notes', 'a.json'), '{"id":');
    await expect(store.rows.get('notes', 'a')).rejects.toMatchObject({
      code: 'row_corrupt',
      hint: expect.stringContaining('a.json'),
    });
    const { hash } = await store.objects.put(Buffer.from('bytes'));
    await writeFile(path.join(folder, 'objects', hash.slice(0, 2), hash), 'bytez');
    const read = async (): Promise<void> => {
      for await (const piece of store.objects.get(hash)) void piece;
    };
    await expect(read()).rejects.toMatchObject({ code: 'object_corrupt' });
    await store.objects.put(Buffer.from('bytes'));
    await read();
  });

  it('takes away what a killed process left, and not what another is writing', async () => {
    await (await openFileStore(folder)).rows.put('notes', { id: 'a' });
    const notes = path.join(folder, 'rows', 'notes');
    await writeFile(path.join(notes, 'b.json.1.1.tmp'), '{');
    await writeFile(path.join(notes, 'c.json.1.1.tmp'), '{');
    await utimes(path.join(notes, 'b.json.1.1.tmp'), 1, 1);
    const objects = path.join(folder, 'objects');
    await writeFile(path.join(objects, 'incoming-1-old'), 'half');
    await writeFile(path.join(objects, 'incoming-2-new'), 'half');
    await utimes(path.join(objects, 'incoming-1-old'), 1, 1);
    await openFileStore(folder);
    expect(await readdir(objects)).toEqual(['incoming-2-new']);
    expect((await readdir(notes)).sort()).toEqual(['a.json', 'c.json.1.1.tmp']);
  });

  it('agrees with a map over random histories', async () => {
    const id = fc.oneof(fc.constantFrom('a', 'b', 'B', '../x'), fc.string({ minLength: 1, maxLength: 20 }));
    const act = fc.oneof(
      fc.record({ act: fc.constant('put' as const), id, value: fc.jsonValue() }),
      fc.record({ act: fc.constant('remove' as const), id }),
    );
    let history = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 12 }), async (acts) => {
        const { rows } = await openFileStore(path.join(folder, String(history++)));
        const map = new Map<string, Row>();
        for (const one of acts) {
          if (one.act === 'put') {
            // What a store keeps is JSON: -0 is 0 there.
            const row = JSON.parse(JSON.stringify({ id: one.id, value: one.value })) as Row;
            await rows.put('notes', row);
            map.set(one.id, row);
          } else expect(await rows.remove('notes', one.id)).toBe(map.delete(one.id));
        }
        const ids = [...map.keys()].sort();
        expect(await rows.list('notes')).toEqual(ids.map((key) => map.get(key)));
      }),
      { numRuns: 20 },
    );
  });
});
