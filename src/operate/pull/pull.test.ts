/** Models from a hub on this machine: resumed, checked, once; lies, traversal, pickles and redirects refused. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import type { LookupFunction } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runMain } from '../../cli/testing.ts';
import { ggufPieces } from '../../formats/gguf.ts';
import { ModelRegistry } from '../registry.ts';
import { checkRedirect, isPrivate, publicOnly } from './http.ts';
import { type PullOptions, type PullResult, pull } from './pull.ts';
import { parseSource, safePath } from './source.ts';
import { type HubFile, startHub, type TestHub } from './testing.ts';

const golden = path.resolve('src/models/text/golden/gpt2');
const config = await readFile(path.join(golden, 'config.json'));
const weights = await readFile(path.join(golden, 'model.safetensors'));
const gguf = Buffer.concat(
  ggufPieces({
    metadata: {
      'general.architecture': { type: 'string', value: 'llama' },
      'llama.context_length': { type: 'u32', value: 64 },
    },
    tensors: [{ name: 'token_embd.weight', shape: [64, 256], type: 'f32', data: new Float32Array(64 * 256) }],
  }),
);
const sum = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

let home: string;
let registry: ModelRegistry;
let hub: TestHub;
const hubs: TestHub[] = [];

async function start(files: Record<string, HubFile>): Promise<void> {
  hub = await startHub(files);
  hubs.push(hub);
}

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-pull-'));
  registry = await ModelRegistry.open(home);
  await start({
    'config.json': { content: config },
    'model.safetensors': { content: weights, large: true },
    'README.md': { content: Buffer.from('# A model\n') },
    'pytorch_model.bin': { content: Buffer.from('pickle'), large: true },
    'train.py': { content: Buffer.from('print()') },
  });
});
afterEach(async () => {
  await Promise.all(hubs.splice(0).map((one) => one.close()));
  await rm(home, { recursive: true, force: true });
});

const run = (source = 'hf:team/model', more: Partial<PullOptions> = {}): Promise<PullResult> =>
  pull(source, { registry, hub: hub.address, pause: 1, tries: 3, ...more });
const change = (name: string, more: Partial<HubFile>): void => {
  hub.files.set(name, { content: Buffer.from(''), ...hub.files.get(name), ...more });
};
const place = (...names: string[]): string => path.join(home, 'models', 'team--model', ...names);

describe('a model of a hub', () => {
  test('comes with what it needs and nothing else, checked, and is registered', async () => {
    hub.pageSize = 2;
    const seen: number[] = [];
    const result = await run(undefined, { onProgress: ({ done }) => seen.push(done) });
    expect(result).toMatchObject({ name: 'team/model', revision: hub.commit, folder: place(), resumed: 0 });
    expect(result.files.map(({ path: file }) => file)).toEqual([
      'model.safetensors',
      'config.json',
      'README.md',
    ]);
    expect(result.files[0]?.sha256).toBe(sum(weights));
    expect(await readFile(place('model.safetensors'))).toEqual(weights);
    expect((await readdir(place())).sort()).toEqual([
      'README.md',
      'config.json',
      'model.safetensors',
      'pull.json',
    ]);
    expect((await registry.get('team/model')).info.architecture).toBe('gpt2');
    expect(Math.max(...seen)).toBe(result.bytes);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    // What is there is not fetched again.
    const asked = hub.asked.length;
    const again = await run();
    expect(again).toMatchObject({ bytes: result.bytes, resumed: result.bytes });
    expect(hub.asked).toHaveLength(asked);
  });

  test('whose connection breaks in mid-file goes on where it was', async () => {
    change('model.safetensors', { cuts: [1000, 2000, 500] });
    await run();
    expect(await readFile(place('model.safetensors'))).toEqual(weights);
    const ranges = hub.asked
      .filter(({ path: file }) => file.endsWith('.safetensors'))
      .map(({ range }) => range);
    expect(ranges).toEqual([undefined, 'bytes=1000-', 'bytes=3000-', 'bytes=3500-']);
  });

  test('that was stopped is gone on from by the next command, and another version is not', async () => {
    const abort = new AbortController();
    change('model.safetensors', { cuts: [4000] });
    const stopped = run(undefined, {
      signal: abort.signal,
      onProgress: ({ done }) => {
        if (done >= 4000) abort.abort();
      },
    });
    await expect(stopped).rejects.toMatchObject({ code: 'cancelled' });
    expect((await stat(place('model.safetensors.part'))).size).toBe(4000);
    await expect(registry.get('team/model')).rejects.toMatchObject({ code: 'model_not_found' });
    hub.asked.length = 0;
    expect((await run()).resumed).toBe(4000);
    expect(hub.asked[0]?.range).toBe('bytes=4000-');
    expect(await readFile(place('model.safetensors'))).toEqual(weights);

    // A part of other bytes than the hub has now is thrown away.
    await rm(place('model.safetensors'));
    await writeFile(place('model.safetensors.part'), 'other bytes');
    await writeFile(place('model.safetensors.part.json'), JSON.stringify({ sha256: 'f'.repeat(64) }));
    await run();
    expect(hub.asked.at(-1)?.range).toBeUndefined();
    expect(await readFile(place('model.safetensors'))).toEqual(weights);
  });

  test('pulled twice at once comes once', async () => {
    const results = await Promise.all([run(), run(), run()]);
    expect(hub.asked.filter(({ path: file }) => file.endsWith('.safetensors'))).toHaveLength(1);
    expect(new Set(results.map(({ files }) => JSON.stringify(files))).size).toBe(1);
  });

  test('that cannot go on in mid-file is begun again', async () => {
    change('model.safetensors', { cuts: [1000], noRanges: true });
    await run();
    expect(await readFile(place('model.safetensors'))).toEqual(weights);
    await rm(place('model.safetensors'));
    change('model.safetensors', { cuts: [1000], noRanges: false, shifted: true });
    await run();
    expect(await readFile(place('model.safetensors'))).toEqual(weights);
  });

  test('whose hub breaks off again and again is given up, and keeps what came', async () => {
    change('model.safetensors', { cuts: [700, 0, 0, 0, 0, 0] });
    await expect(run()).rejects.toMatchObject({
      code: 'pull_failed',
      hint: expect.stringContaining('goes on'),
    });
    expect((await stat(place('model.safetensors.part'))).size).toBe(700);
    change('model.safetensors', { cuts: [], status: 503 });
    await expect(run()).rejects.toMatchObject({ code: 'pull_failed' });
    change('model.safetensors', { status: 403 });
    await expect(run()).rejects.toMatchObject({ code: 'hub_denied', kind: 'denied' });
  });

  test('that is another than its hub says leaves nothing', async () => {
    const broken = Buffer.from(weights);
    broken[5000] = (broken[5000] as number) ^ 1;
    const refused = async (file: string, more: Partial<HubFile>): Promise<void> => {
      const before = hub.files.get(file) as HubFile;
      change(file, more);
      await expect(run()).rejects.toMatchObject({ code: 'checksum_differs', kind: 'data' });
      const left = await readdir(place());
      expect(left.filter((name) => name.startsWith(file))).toEqual([]);
      hub.files.set(file, before);
    };
    await refused('model.safetensors', { sends: broken });
    await refused('model.safetensors', { says: { sha256: 'e'.repeat(64) } });
    await refused('model.safetensors', { sends: Buffer.concat([weights, weights]) });
    await refused('model.safetensors', { sends: weights.subarray(0, 3000) });
    await run();
    await rm(place('config.json'));
    await refused('config.json', { sends: Buffer.from(config.toString().replace('gpt2', 'gpt3')) });
  });

  test('that would not fit the disk is refused before its first byte', async () => {
    change('model.safetensors', { says: { size: 2 ** 52 } });
    await expect(run()).rejects.toMatchObject({ code: 'disk_full', kind: 'resource' });
    expect(hub.asked).toEqual([]);
  });

  test('of a later commit replaces the earlier one, and no other source takes its name', async () => {
    change('vocab.json', { content: Buffer.from('{}') });
    await run();
    hub.files.delete('vocab.json');
    hub.commit = 'b'.repeat(40);
    change('README.md', { content: Buffer.from('# Better\n') });
    expect((await run()).revision).toBe(hub.commit);
    expect((await readdir(place())).sort()).toEqual([
      'README.md',
      'config.json',
      'model.safetensors',
      'pull.json',
    ]);
    expect(await readFile(place('README.md'), 'utf8')).toBe('# Better\n');
    await expect(run(golden, { name: 'team/model' })).rejects.toMatchObject({ code: 'model_exists' });
    await expect(run(golden, { name: 'starter' })).rejects.toMatchObject({ code: 'model_exists' });
  });

  test('shows its key to the first host alone', async () => {
    await run(undefined, { token: 'secret' });
    expect(hub.asked.every(({ key }) => key === 'Bearer secret')).toBe(true);
  });
});

describe('what is refused', () => {
  test.each([
    '../evil.safetensors',
    '/etc/passwd.safetensors',
    'a/../../evil.json',
    'a\\..\\evil.safetensors',
    'C:evil.safetensors',
    'nul.safetensors',
    'a//b.safetensors',
    'evil.safetensors.',
    'x\u0000.safetensors',
  ])('the file name %j', async (name) => {
    expect(() => safePath(name)).toThrow(expect.objectContaining({ code: 'path_unsafe' }));
    hub.listed.push({ type: 'file', path: name, size: 3 });
    await expect(run()).rejects.toMatchObject({ code: 'path_unsafe' });
    expect(hub.asked).toEqual([]);
  });

  test('pickles, by name and where there is nothing else', async () => {
    await expect(run('hf:team/model/pytorch_model.bin')).rejects.toMatchObject({
      code: 'model_pickled',
      hint: expect.stringContaining('save_pretrained'),
    });
    hub.files.delete('model.safetensors');
    await expect(run()).rejects.toMatchObject({ code: 'model_pickled' });
    await expect(run(`${hub.address}/files/x.pt`)).rejects.toMatchObject({ code: 'model_pickled' });
    hub.files.delete('pytorch_model.bin');
    await expect(run()).rejects.toMatchObject({ code: 'model_missing' });
  });

  test('hubs that do not have it, do not give it, or are none', async () => {
    await expect(run('hf:team/nothing')).rejects.toMatchObject({ code: 'repository_not_found' });
    await expect(run('hf:closed/model')).rejects.toMatchObject({ code: 'hub_denied' });
    await expect(run('hf:odd/model')).rejects.toMatchObject({ code: 'hub_unexpected' });
    await expect(run(undefined, { hub: 'ftp://x' })).rejects.toMatchObject({ code: 'source_invalid' });
    await expect(run(undefined, { hub: 'http://127.0.0.1:9' })).rejects.toMatchObject({
      code: 'pull_failed',
    });
    await expect(run('hf:team/model/missing.gguf')).rejects.toMatchObject({ code: 'file_not_found' });
  });

  test.each(['hf:', 'hf:model', 'hf:a/b/../c', 'hf:../b', 'ftp://x/y.gguf', 'https://u:p@x/y.gguf', ' '])(
    'the source %j',
    (given) => {
      expect(() => parseSource(given)).toThrow(expect.objectContaining({ name: 'InkstoneError' }));
    },
  );

  test('redirects to other hosts without https, in circles, and to private addresses', async () => {
    change('model.safetensors', { redirect: '/cdn/model.safetensors' });
    await run();
    expect(await readFile(place('model.safetensors'))).toEqual(weights);
    await rm(place('model.safetensors'));
    const other = await startHub({});
    hubs.push(other);
    change('model.safetensors', { redirect: `${other.address}/cdn/model.safetensors` });
    await expect(run()).rejects.toMatchObject({ code: 'redirect_refused', kind: 'denied' });
    change('model.safetensors', { redirect: 'file:///etc/passwd' });
    await expect(run()).rejects.toMatchObject({ code: 'redirect_refused' });
    change('model.safetensors', { redirect: `/team/model/resolve/${hub.commit}/model.safetensors` });
    await expect(run()).rejects.toMatchObject({ code: 'redirect_refused' });
    const to = (from: string, next: string) => () => checkRedirect(new URL(from), new URL(next));
    expect(to('https://hub.org/a', 'https://cdn.org/b')).not.toThrow();
    expect(to('http://hub.lan/a', 'http://hub.lan/b')).not.toThrow();
    expect(to('https://hub.org/a', 'http://hub.org/b')).toThrow();
    expect(to('https://hub.org/a', 'http://cdn.org/b')).toThrow();
    const yes = [
      '127.0.0.1',
      '10.1.2.3',
      '172.20.0.1',
      '192.168.1.1',
      '169.254.169.254',
      '100.64.0.1',
      '0.0.0.0',
    ];
    for (const address of [...yes, '::1', 'fd00::1', 'fe80::1', '::ffff:10.0.0.1', '224.0.0.1'])
      expect([address, isPrivate(address)]).toEqual([address, true]);
    for (const address of ['93.184.216.34', '172.32.0.1', '2606:4700::1', '::ffff:8.8.8.8'])
      expect([address, isPrivate(address)]).toEqual([address, false]);
    // One private address among public ones is enough.
    const names: LookupFunction = (_name, _options, callback) =>
      callback(null, [
        { address: '93.184.216.34', family: 4 },
        { address: '10.0.0.7', family: 4 },
      ]);
    const error = await new Promise((resolve) =>
      publicOnly(names)('cdn.org', {}, (thrown) => resolve(thrown)),
    );
    expect(error).toMatchObject({ code: 'redirect_refused' });
  });
});

describe('other sources', () => {
  test('a GGUF file of a hub, of several by name', async () => {
    await start({ 'small-q8.gguf': { content: gguf, large: true } });
    const one = await run();
    expect(one.folder).toBe(place('small-q8.gguf'));
    expect((await registry.get('team/model')).info).toMatchObject({ engine: 'llama.cpp', context: 64 });
    change('small-q4.gguf', { content: gguf, large: true });
    await expect(run(undefined, { name: 'x' })).rejects.toMatchObject({
      code: 'choice_needed',
      details: { files: ['small-q8.gguf', 'small-q4.gguf'] },
    });
    expect((await run('hf:team/model@v1/small-q4.gguf', { name: 'x' })).files).toHaveLength(1);
  });

  test('an address of a GGUF file, with a checksum of one’s own or the server’s', async () => {
    change('some model.gguf', { content: gguf, headers: { etag: `"${sum(gguf)}"` }, cuts: [3000] });
    const url = `${hub.address}/files/some%20model.gguf`;
    const result = await run(url);
    expect(result).toMatchObject({ name: 'some-model', files: [{ bytes: gguf.length, sha256: sum(gguf) }] });
  });

  test('a name that cannot be a model’s is told, and another can be given', async () => {
    change('one.gguf', { content: gguf });
    const url = `${hub.address}/files/one.gguf`;
    expect((await run(url, { sha256: sum(gguf), name: 'mine' })).name).toBe('mine');
    await expect(run(url, { sha256: 'a'.repeat(64), name: 'other' })).rejects.toMatchObject({
      code: 'checksum_differs',
    });
    await expect(run(url, { name: '../up' })).rejects.toMatchObject({ code: 'name_invalid' });
    await expect(run(`${hub.address}/files/config.json`)).rejects.toMatchObject({ code: 'source_invalid' });
  });

  test('a folder on this machine, with SHA256SUMS where it has one', async () => {
    const from = path.join(home, 'downloads');
    await mkdir(from);
    await writeFile(path.join(from, 'config.json'), config);
    await writeFile(path.join(from, 'model.safetensors'), weights);
    await writeFile(path.join(from, 'SHA256SUMS'), `${sum(weights)}  model.safetensors\n`);
    expect((await run(from, { name: 'local' })).files).toHaveLength(2);
    expect((await registry.get('local')).info.architecture).toBe('gpt2');
    await writeFile(path.join(from, 'SHA256SUMS'), `${'0'.repeat(64)}  model.safetensors\n`);
    await expect(run(from, { name: 'local-2' })).rejects.toMatchObject({ code: 'checksum_differs' });
    await rm(path.join(from, 'model.safetensors'));
    await writeFile(path.join(from, 'pytorch_model.bin'), 'x');
    await expect(run(from, { name: 'local-3' })).rejects.toMatchObject({ code: 'model_pickled' });
    await expect(run(path.join(home, 'nothing'))).rejects.toMatchObject({ code: 'source_missing' });
  });

  test('the command says what came, as one object', async () => {
    const said = await runMain(['pull', 'hf:team/model', '--hub', hub.address, '--home', home, '--json']);
    expect(said.status).toBe(0);
    expect(said.json).toMatchObject({ name: 'team/model', revision: hub.commit, resumed: 0 });
    const refused = await runMain(['pull', 'hf:team/none', '--hub', hub.address, '--home', home, '--json']);
    expect(refused).toMatchObject({ status: 4, error: { code: 'repository_not_found' } });
  });
});
