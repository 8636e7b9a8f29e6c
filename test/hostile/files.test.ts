/** Hostile files: bombs, links, lies about sizes, pickles; and addresses that hide where they lead. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { zipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { pictureFiles } from '../../src/data/image/sources.ts';
import { readPieces } from '../../src/data/text/pieces.ts';
import { readSafetensors } from '../../src/formats/safetensors.ts';
import { PrefixCache } from '../../src/generate/prefix-cache.ts';
import { isPrivate, publicOnly } from '../../src/operate/pull/http.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'inkstone-hostile-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('archives', () => {
  it('of text that grow without end are left early', { timeout: 120_000 }, async () => {
    const bomb = path.join(folder, 'bomb.txt.gz');
    await writeFile(bomb, gzipSync(Buffer.alloc(200 * 2 ** 20, 'a'), { level: 9 }));
    const all = async (): Promise<void> => {
      for await (const piece of readPieces(bomb)) void piece;
    };
    await expect(all()).rejects.toMatchObject({ code: 'data_bomb' });
  });

  it('of pictures write nothing to disk, whatever their names say, and hold no bomb', async () => {
    const file = path.join(folder, 'slip.zip');
    const three = new Uint8Array([1, 2, 3]);
    await writeFile(
      file,
      zipSync({
        '../../escaped.png': three,
        // Several pieces of it come after the limit.
        'a/bomb.png': [new Uint8Array(96 * 2 ** 20), { level: 1 }],
        'a/good.png': three,
      }),
    );
    const found: [string, number, string | undefined][] = [];
    for await (const { name, bytes, problem } of pictureFiles(file))
      found.push([name, bytes.length, problem]);
    expect(found).toEqual([
      ['a/bomb.png', 0, 'larger than 64 MiB'],
      ['a/good.png', 3, undefined],
    ]);
  });
});

describe('model files', () => {
  const lying = (header: object, data = 16): Uint8Array => {
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([length, text, Buffer.alloc(data)]);
  };

  it.each<[string, Uint8Array]>([
    ['a header of 2^63 bytes', Buffer.from('ffffffffffffff7f', 'hex')],
    ['offsets beyond the end', lying({ a: { dtype: 'F32', shape: [4], data_offsets: [8, 24] } })],
    [
      'a shape of 2^60 numbers',
      lying({ a: { dtype: 'F32', shape: [2 ** 30, 2 ** 30], data_offsets: [0, 16] } }),
    ],
    [
      'a shape that overflows to the right size',
      lying({ a: { dtype: 'F32', shape: [2 ** 32, 2 ** 32, 4], data_offsets: [0, 16] } }),
    ],
    [
      'overlapping tensors',
      lying({
        a: { dtype: 'F32', shape: [4], data_offsets: [0, 16] },
        b: { dtype: 'F32', shape: [2], data_offsets: [8, 16] },
      }),
    ],
    ['an end before its beginning', lying({ a: { dtype: 'F32', shape: [2], data_offsets: [16, 8] } })],
  ])('safetensors with %s are refused without the memory that they ask for', (_, file) => {
    const before = process.memoryUsage().arrayBuffers;
    expect(() => readSafetensors(file)).toThrowError(
      expect.objectContaining({ code: 'safetensors_corrupt' }),
    );
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
  });
});

describe('addresses', () => {
  it.each([
    ...[
      '127.0.0.1',
      '127.8.9.1',
      '0.0.0.0',
      '10.1.2.3',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.1.1',
      '169.254.169.254',
      '100.64.0.1',
      '224.0.0.1',
      '255.255.255.255',
    ],
    ...[
      '::1',
      '::',
      '::ffff:127.0.0.1',
      '::ffff:7f00:1',
      '::ffff:a9fe:a9fe',
      '::127.0.0.1',
      '64:ff9b::7f00:1',
      '2002:7f00:1::',
      '2001::1',
      'fe80::1',
      'fd00::1',
      'ff02::1',
    ],
  ])('%s is private', (address) => expect(isPrivate(address)).toBe(true));

  it.each(['1.1.1.1', '8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '::ffff:8.8.8.8'])(
    '%s is not',
    (address) => expect(isPrivate(address)).toBe(false),
  );

  it('whose name has one private address among public ones are not connected to', async () => {
    const lookup = publicOnly(((_: string, __: object, callback: (e: null, all: object[]) => void) =>
      callback(null, [
        { address: '1.1.1.1', family: 4 },
        { address: '::ffff:7f00:1', family: 6 },
      ])) as never);
    const error = await new Promise((resolve) => lookup('rebinding.example', {}, resolve as never));
    expect(error).toMatchObject({ code: 'redirect_refused' });
  });
});

describe('caches', () => {
  it('of prompts belong to one key: another’s prompt is read anew, also where nobody has a key', () => {
    const cache = new PrefixCache(1e6);
    const tokens = Array.from({ length: 40 }, (_, i) => i);
    cache.put(tokens, {}, 'ann');
    expect(cache.find([...tokens, 1], 'ann')?.count).toBe(40);
    expect(cache.find([...tokens, 1], 'bob')).toBeUndefined();
    expect(cache.find([...tokens, 1])).toBeUndefined();
  });
});

describe('keys', () => {
  it('are compared in constant time, each with every row', async () => {
    let compared = 0;
    vi.resetModules();
    vi.doMock('node:crypto', async (original) => {
      const crypto = await original<typeof import('node:crypto')>();
      return {
        ...crypto,
        timingSafeEqual: (a: Uint8Array, b: Uint8Array) => {
          compared++;
          return crypto.timingSafeEqual(a, b);
        },
      };
    });
    const { Keys } = await import('../../src/serve/keys.ts');
    const { openFileStore } = await import('../../src/store/index.ts');
    const keys = new Keys(await openFileStore(path.join(folder, 'store')));
    const made: string[] = [];
    for (const name of ['a', 'b', 'c', 'd']) made.push((await keys.create(name)).key);
    const cost = async (key: string): Promise<number> => {
      compared = 0;
      await keys.match(key).catch(() => undefined);
      return compared;
    };
    expect(await Promise.all([cost(made[0] as string)])).toEqual([4]);
    expect(await cost(made[3] as string)).toBe(4);
    expect(await cost('ink-wrong')).toBe(4);
    vi.doUnmock('node:crypto');
  });
});
