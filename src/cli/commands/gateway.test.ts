/** `inkstone gateway` as people start it: what it refuses, and that it listens, tells of its servers and ends in order. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type ChildProcess, spawnCommand } from '../../base/host.ts';

let home: string;
let server: http.Server;
let url: string;
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-gateway-'));
  server = http.createServer((_, reply) => reply.end('{"object":"list","data":[{"id":"m"}]}'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.close();
  await rm(home, { recursive: true, force: true });
});

let children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children = [];
});

function start(...words: string[]): {
  child: ChildProcess;
  out: () => string;
  said: () => string;
  ended: Promise<number | null>;
} {
  const child = spawnCommand(['gateway', '--home', home, '--port', '0', '--json', ...words]);
  children.push(child);
  let text = '';
  child.stdout?.on('data', (piece) => {
    text += String(piece);
  });
  let said = '';
  child.stderr?.on('data', (piece) => {
    said += String(piece);
  });
  return {
    child,
    out: () => text,
    said: () => said,
    ended: new Promise((resolve) => child.once('close', resolve)),
  };
}

it('listens, knows its servers’ models and versions, and ends on a signal with status 0', async () => {
  const file = path.join(home, 'servers.json');
  await writeFile(
    file,
    JSON.stringify({ upstreams: [{ name: 'first', url, version: '1' }], policy: 'two-choices' }),
  );
  const { child, out, said, ended } = start('--servers', file, '--upstreams', `v2=${url}/v1`);
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  while (!out().includes('"listening"') && !isOver()) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(out(), said()).toContain('"listening"');
  const { address, upstreams } = JSON.parse(out().split('\n')[0] as string) as {
    address: string;
    upstreams: number;
  };
  expect(upstreams).toBe(2);
  const status = (await (await fetch(`${address}/gateway/status`)).json()) as { upstreams: object[] };
  expect(status.upstreams[0]).toMatchObject({ name: 'first', version: '1', models: ['m'], healthy: true });
  expect(status.upstreams[1]).toMatchObject({ version: 'v2', url: `${url}/v1` });
  child.kill('SIGTERM');
  expect(await ended).toBe(0);
  expect(out().trim().split('\n').at(-1)).toContain('"stopped"');
});

it.each([
  ['no server', [], 'gateway_invalid'],
  ['an address that is none', ['--upstreams', 'ftp://x'], 'gateway_invalid'],
  ['a file that is not there', ['--servers', 'none.json'], 'file_missing'],
  [
    'two servers of one name',
    ['--upstreams', 'http://127.0.0.1:1', '--upstreams', 'http://127.0.0.1:1/v1'],
    'upstream_twice',
  ],
  ['others without a key', ['--upstreams', 'http://127.0.0.1:1', '--host', '0.0.0.0'], 'key_needed'],
])('refuses %s', async (_, words, code) => {
  const { out, ended } = start(...words);
  expect(await ended).not.toBe(0);
  expect(out()).toContain(code);
});
