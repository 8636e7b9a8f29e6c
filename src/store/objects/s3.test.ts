/** Objects in S3, against a real server: what every store must do, parts, damage, and what a refusal says. */
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startS3, type TestS3 } from '../../../test/services/s3.ts';
import type { Objects, Store } from '../../base/contracts/store.ts';
import { storeChecks } from '../conformance.ts';
import { openS3Objects } from './s3.ts';

let s3: TestS3;
let objects: Objects;
let prefix = 0;

beforeAll(async () => {
  s3 = await startS3();
});
afterAll(() => s3.stop());
beforeEach(async () => {
  objects = await openS3Objects(`s3://${s3.bucket}/test-${++prefix}`);
});

async function read(hash: string): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of objects.get(hash)) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

describe('objects in S3', () => {
  it.each(storeChecks.filter(({ about }) => about === 'objects'))('$name', ({ run }) =>
    run({ kind: { rows: 'folder', objects: 's3' }, objects } as Store),
  );

  it('lists more than one page', async () => {
    const hashes: string[] = [];
    for (let i = 0; i < 23; i++) hashes.push((await objects.put(Buffer.from(`${i}`))).hash);
    const found: string[] = [];
    const paged = await openS3Objects(`s3://${s3.bucket}/test-${prefix}`, { page: 5 });
    for await (const { hash } of paged.list()) found.push(hash);
    expect(found).toEqual([...hashes].sort());
  });

  it('tells of an object that was changed behind its back', async () => {
    const { hash } = await objects.put(Buffer.from('bytes'));
    const all = await readdir(s3.folder, { recursive: true });
    const files = all.filter((name) => name.includes(hash) && name.endsWith('_object'));
    expect(files).toHaveLength(1);
    await writeFile(path.join(s3.folder, files[0] as string), 'bytez');
    await expect(read(hash)).rejects.toMatchObject({ code: 'object_corrupt' });
    await objects.put(Buffer.from('bytes'));
    expect(await read(hash)).toBe('bytes');
  });
});

describe('what a refusal says', () => {
  it.each([
    ['s3://', 'objects_address_invalid'],
    ['s3://UPPER/x', 'objects_address_invalid'],
    ['s3://nobody-made-it', 'bucket_missing'],
  ])('%s: %s', async (address, code) => {
    await expect(openS3Objects(address)).rejects.toMatchObject({ code });
  });

  it('a wrong key, no key, nobody there', { timeout: 60_000 }, async () => {
    const address = `s3://${s3.bucket}`;
    const { AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL_S3 } = process.env;
    process.env.AWS_SECRET_ACCESS_KEY = 'wrong';
    await expect(openS3Objects(address)).rejects.toMatchObject({ code: 'objects_denied' });
    delete process.env.AWS_SECRET_ACCESS_KEY;
    await expect(openS3Objects(address)).rejects.toMatchObject({ code: 'objects_denied' });
    process.env.AWS_SECRET_ACCESS_KEY = AWS_SECRET_ACCESS_KEY;
    process.env.AWS_ENDPOINT_URL_S3 = 'http://127.0.0.1:1';
    await expect(openS3Objects(address)).rejects.toMatchObject({ code: 'objects_unreachable' });
    process.env.AWS_ENDPOINT_URL_S3 = AWS_ENDPOINT_URL_S3;
  });
});
