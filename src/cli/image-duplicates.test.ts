import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeTemporaryFolder, removeFile } from '../base/host.ts';
import type { ImageSetFile } from '../data/image/array-file.ts';
import { writtenSet } from '../data/image/tests/array-writer.ts';
import { duplicateLines, preparedLines } from './image-duplicates.ts';

let folder = '';
beforeAll(async () => {
  folder = await makeTemporaryFolder('image-lines');
});
afterAll(() => removeFile(folder));

const linesOf = async (more: Partial<ImageSetFile>, file?: string): Promise<string[]> => {
  const set = await writtenSet(folder, new Uint8Array(128), { size: 8, ...more });
  await set.close();
  return preparedLines(set, file);
};

test('a table that leaves a picture out is named, with the picture', async () => {
  expect(await linesOf({})).toEqual([]);
  expect(await linesOf({ unlisted: { table: 'labels.csv', count: 1, first: 'c.png' } })).toEqual([
    'labels.csv leaves out 1 picture c.png: no labels are used',
  ]);
});

test('what was passed over is named, and where all of it is listed', async () => {
  const one = { name: 'a.png', problem: 'empty' };
  expect(await linesOf({ skipped: [one] }, 'all.json')).toEqual(['1 file was passed over: a.png (empty)']);
  expect(await linesOf({ skipped: [one, one, one] }, 'all.json')).toEqual([
    '3 files were passed over, first a.png (empty); all are listed in all.json',
  ]);
});

test('a cut count of pictures that look alike says so, and none says nothing', () => {
  expect(duplicateLines({ near_duplicates: { count: 0, at_least: false } })).toEqual([]);
  const cut = { count: 1000, at_least: true, first: ['a.png', 'b.png'] as [string, string] };
  expect(duplicateLines({ near_duplicates: cut })).toEqual([
    'at least 1000 pictures look like an earlier one, first b.png like a.png',
  ]);
});
