/** `npm start` as a process: it answers where the environment says, ends well, and leaves nothing where it was started. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packageFolder } from '../src/base/host.ts';
import { freePort } from './services/postgres.ts';

const there = fs.existsSync(path.join(packageFolder, 'models', 'starter', 'model.safetensors'));

let folder: string;
let server: ChildProcess | undefined;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'inkstone-start-'));
});
afterAll(() => {
  if (server?.exitCode === null) server.kill('SIGKILL');
  fs.rmSync(folder, { recursive: true, force: true });
});

/** Asks until somebody listens and the model is loaded. */
async function answer(url: string, of: ChildProcess, init?: RequestInit): Promise<Response> {
  for (;;) {
    if (of.exitCode !== null) throw new Error(`the server ended with ${of.exitCode}`);
    const response = await fetch(url, init).catch(() => undefined);
    if (response !== undefined && response.status !== 503) return response;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

// What was not built yet is built first, by one process at a time.
test.skipIf(!there)('npm start serves the starter (needs models/starter)', { timeout: 300_000 }, async () => {
  const [home, empty] = [path.join(folder, 'home'), path.join(folder, 'empty')];
  fs.mkdirSync(empty);
  const port = await freePort();
  const { NODE_ENV: _, ...environment } = process.env;
  const started = spawn(process.execPath, [path.join(packageFolder, 'tools', 'start.mjs')], {
    cwd: empty,
    env: { ...environment, INKSTONE_PORT: String(port), INKSTONE_HOME: home },
    stdio: 'ignore',
  });
  server = started;
  const url = `http://127.0.0.1:${port}`;
  expect((await answer(`${url}/health`, started)).status).toBe(200);
  const completion = await answer(`${url}/v1/completions`, started, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'starter', prompt: 'It was', max_tokens: 8, seed: 1 }),
  });
  expect(completion.status).toBe(200);
  expect(await completion.json()).toMatchObject({
    ...{ model: 'starter', choices: [{ text: expect.stringMatching(/./) }], usage: { completion_tokens: 8 } },
  });
  // The studio was built with it.
  expect(await (await fetch(url)).text()).toContain('<!doctype html>');

  const ended = once(started, 'exit');
  started.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
  expect(fs.readdirSync(empty)).toEqual([]);
  expect(fs.readdirSync(home).length).toBeGreaterThan(0);
});
