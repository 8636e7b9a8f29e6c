/** Files, streams and children through the host, on a folder of its own. */
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { InkstoneError } from './errors.ts';
import { fileError } from './file-error.ts';
import * as host from './host.ts';

let folder = '';
beforeAll(async () => {
  folder = await host.makeTemporaryFolder('inkstone-host-test');
});
afterAll(() => host.removeFile(folder));
const at = (...parts: string[]): string => path.join(folder, ...parts);

async function codeOf(work: Promise<unknown>): Promise<{ code: string; kind: string; message: string }> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!InkstoneError.is(thrown)) throw new Error(`expected an InkstoneError, got ${thrown}`);
  return { code: thrown.code, kind: thrown.kind, message: thrown.message };
}

describe('whole files', () => {
  test('are written and read, text and bytes, also empty', async () => {
    for (const text of ['', 'héllo\n', 'x'.repeat(300_000)]) {
      await host.writeFile(at('text'), text);
      expect(await host.readText(at('text'))).toBe(text);
      expect(host.readTextNow(at('text'))).toBe(text);
    }
    await host.writeFile(at('bytes'), new Uint8Array([0, 255, 10]));
    expect([...(await host.readBytes(at('bytes')))]).toEqual([0, 255, 10]);
  });

  test('keep the old content when writing fails half-way, and leave nothing beside', async () => {
    await host.writeFile(at('kept'), 'old');
    const failing = host.writeAtomically(at('kept'), async (write) => {
      await write('half');
      throw new InkstoneError('stopped', 'stopped');
    });
    await expect(failing).rejects.toThrow('stopped');
    expect(await host.readText(at('kept'))).toBe('old');
    expect((await host.listFiles(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('many writers at once leave one whole content', async () => {
    const contents = Array.from({ length: 20 }, (_, i) => String(i).repeat(10_000));
    await Promise.all(contents.map((content) => host.writeFile(at('raced'), content)));
    expect(contents).toContain(await host.readText(at('raced')));
  });

  test('grow line by line and are cut again', async () => {
    await host.appendText(at('lines'), 'a\n');
    host.appendTextNow(at('lines'), 'b\n');
    expect(await host.readText(at('lines'))).toBe('a\nb\n');
    await host.truncateFile(at('lines'), 2);
    expect(await host.readText(at('lines'))).toBe('a\n');
  });
});

describe('parts of files', () => {
  test('are read and written in place', async () => {
    await host.writeFile(at('parts'), '0123456789');
    const file = await host.openFile(at('parts'), 'update');
    expect(file.size).toBe(10);
    const into = new Uint8Array(4);
    expect(await file.read(into, 3)).toBe(4);
    expect(Buffer.from(into).toString()).toBe('3456');
    expect(await file.read(into, 8)).toBe(2);
    expect(await file.read(into, 50)).toBe(0);
    await file.write(Buffer.from('AB'), 2);
    await file.sync();
    await file.close();
    expect(await host.readText(at('parts'))).toBe('01AB456789');
  });

  test('are streamed', async () => {
    const pieces: Buffer[] = [];
    for await (const piece of host.readStream(at('parts'), { start: 4, end: 7, chunk: 2 }))
      pieces.push(piece);
    expect(Buffer.concat(pieces).toString()).toBe('4567');
    expect(pieces.length).toBe(2);
  });
});

describe('folders', () => {
  test('are listed in one order, whole trees too', async () => {
    await host.makeFolder(at('tree', 'b', 'c'));
    for (const name of ['z', 'a', 'B', 'b/x', 'b/c/y']) await host.writeFile(at('tree', name), name);
    expect(await host.listFiles(at('tree'))).toEqual(['B', 'a', 'b', 'z']);
    expect(await host.listTree(at('tree'))).toEqual(['B', 'a', 'b/c/y', 'b/x', 'z']);
    await host.removeFile(at('tree'));
    await host.removeFile(at('tree'));
    expect(await host.exists(at('tree'))).toBe(false);
  });

  test('facts tell files from folders and nothing', async () => {
    await host.writeFile(at('fact'), 'abc');
    expect(await host.facts(at('fact'))).toMatchObject({ kind: 'file', size: 3 });
    expect(await host.facts(folder)).toMatchObject({ kind: 'folder' });
    expect(await host.facts(at('none'))).toBeUndefined();
    expect(await host.facts(at('fact', 'below'))).toBeUndefined();
  });

  test('say how much is free', async () => {
    expect(await host.freeSpace(folder)).toBeGreaterThan(0);
  });
});

describe('errors', () => {
  test('name the path and what it is', async () => {
    expect(await codeOf(host.readText(at('gone')))).toMatchObject({ code: 'file_missing', kind: 'missing' });
    expect((await codeOf(host.readText(at('gone')))).message).toContain(at('gone'));
    expect(await codeOf(host.readText(folder))).toMatchObject({ code: 'not_a_file', kind: 'usage' });
    await host.writeFile(at('plain'), 'x');
    expect(await codeOf(host.makeFolder(at('plain', 'below')))).toMatchObject({ code: 'not_a_folder' });
    expect(await codeOf(host.writeFile(at('no', 'such', 'folder'), 'x'))).toMatchObject({
      code: 'file_missing',
    });
    expect(await codeOf(host.writeFile(folder, 'x'))).toMatchObject({ code: 'not_a_file' });
    expect(await codeOf(host.freeSpace(at('gone')))).toMatchObject({ code: 'file_missing' });
    expect(() => host.readTextNow(at('gone'))).toThrow(/there is no/);
  });

  test('a full disk says so', () => {
    const full = fileError(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' }), '/x');
    expect(full).toMatchObject({ code: 'disk_full', kind: 'resource', details: { path: '/x' } });
    expect(full.hint).toContain('free');
    expect(fileError('odd', '/x').code).toBe('file_failed');
    const ours = new InkstoneError('mine', 'mine');
    expect(fileError(ours, '/x')).toBe(ours);
  });

  test.skipIf(!fs.existsSync('/dev/full'))('a real full device says so (needs /dev/full)', async () => {
    const file = await host.openFile('/dev/full', 'append');
    expect(await codeOf(file.write(new Uint8Array(10)))).toMatchObject({ code: 'disk_full' });
    await file.close();
  });
});

describe('process', () => {
  test('an empty variable counts as not set', () => {
    process.env.INKSTONE_TEST_EMPTY = '';
    process.env.INKSTONE_TEST_SET = 'x';
    expect(host.environment('INKSTONE_TEST_EMPTY')).toBeUndefined();
    expect(host.environment('INKSTONE_TEST_SET')).toBe('x');
  });

  test('built entries are found beside the package', () => {
    expect(fs.existsSync(path.join(host.packageFolder, 'package.json'))).toBe(true);
    expect(fs.existsSync(host.entry('base/host'))).toBe(true);
  });

  test('knows who is alive', async () => {
    expect(host.isAlive(host.processId())).toBe(true);
    const child = host.spawnProcess(process.execPath, ['-e', ''], { stdio: 'ignore' });
    const gone = child.pid as number;
    await new Promise((resolve) => child.on('exit', resolve));
    expect(host.isAlive(gone)).toBe(false);
    expect(host.sendSignal(gone, 'SIGTERM')).toBe(false);
    expect(host.sendSignal(0, 'SIGTERM')).toBe(false);
  });

  test('describes the machine and its memory', () => {
    expect(host.machine().cores).toBeGreaterThan(0);
    const memory = host.memoryUse();
    expect(memory.peak).toBeGreaterThanOrEqual(memory.resident * 0.5);
    expect(memory.total).toBeGreaterThan(memory.resident);
    expect(host.monotonic()).toBeLessThanOrEqual(host.monotonic());
    expect(host.timestamp(0)).toBe('1970-01-01T00:00:00.000Z');
  });
});
