/**
 * The studio against the real server and the starter model: one walk through all rooms, from the first
 * press of a button to a model of one's own that answers.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHROMIUM, launch, NO_CHROMIUM, visit } from './browser.ts';
import { text } from './suite.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const STARTER = join(ROOT, 'models', 'starter', 'model.safetensors');
const MAIN = join(ROOT, 'bin', 'inkstone.mjs');
const reason =
  CHROMIUM === undefined
    ? NO_CHROMIUM
    : !existsSync(STARTER)
      ? 'the starter model is not there: models/starter/model.safetensors'
      : undefined;
if (reason !== undefined) console.warn(`skipped: studio on the real server: ${reason}`);

/** A corpus that a tiny model learns something of in a few steps. */
const SONG = Array.from(
  { length: 600 },
  (_, line) => `The ${line % 7} reeds bend and the ${line % 5} boats come home.\n`,
);

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function untilAnswers(url: string, server: ChildProcess): Promise<void> {
  for (;;) {
    if (server.exitCode !== null) throw new Error(`the server ended with ${server.exitCode}`);
    const ready = await fetch(`${url}/health`).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

describe.skipIf(reason !== undefined)(
  `studio on the real server${reason === undefined ? '' : ` (${reason})`}`,
  () => {
    let home = '';
    let url = '';
    let said = '';
    let server: ChildProcess;
    let browser: Browser;
    let page: Page;
    let complaints: string[] = [];

    beforeAll(async () => {
      execFileSync(process.execPath, [join(ROOT, 'tools', 'studio.mjs')], { cwd: ROOT });
      home = mkdtempSync(join(tmpdir(), 'inkstone-home-'));
      const port = await freePort();
      url = `http://127.0.0.1:${port}`;
      server = spawn(process.execPath, [MAIN, 'serve', '--port', String(port)], {
        cwd: ROOT,
        env: { ...process.env, INKSTONE_HOME: home },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      for (const stream of [server.stdout, server.stderr]) stream?.on('data', (part) => (said += part));
      await untilAnswers(url, server).catch((error: Error) => {
        throw new Error(`${error.message}\n${said}`);
      });
      browser = await launch();
      ({ page, complaints } = await visit(browser, url));
      page.setDefaultTimeout(60_000);
    });

    afterAll(async () => {
      await browser?.close();
      if (server !== undefined && server.exitCode === null) {
        server.kill('SIGTERM');
        await once(server, 'exit');
      }
      if (home !== '') rmSync(home, { recursive: true, force: true });
    });

    it('writes at the press of one button, with probabilities', async () => {
      await page.getByRole('button', { name: 'Watch it write' }).click();
      await page.getByText('reached the length limit').waitFor();
      expect(await page.locator('#answer .token').count()).toBeGreaterThan(20);
      expect(await page.locator('[data-figure=tokens]').first().isVisible()).toBe(true);
      await page.locator('[data-unit="3"]').hover();
      expect(await text(page.locator('.inspector'))).toMatch(/log-prob -?\d/);
      expect(await page.locator('.inspector li').count()).toBeGreaterThanOrEqual(5);
      await page.locator('h1').hover();
    });

    it('gives the same text for the same seed', async () => {
      await page.getByRole('spinbutton', { name: 'Seed' }).fill('7');
      await page.getByRole('spinbutton', { name: 'Max tokens' }).fill('40');
      const write = async () => {
        await page.getByRole('button', { name: 'Write', exact: true }).click();
        await page.getByRole('button', { name: 'Write again' }).waitFor();
        return text(page.locator('#answer .token-text'));
      };
      const first = await write();
      expect(await write()).toBe(first);
    });

    it('stops when asked', async () => {
      await page.getByRole('spinbutton', { name: 'Max tokens' }).fill('4000');
      await page.getByRole('button', { name: 'Write', exact: true }).click();
      await page.locator('[data-unit="10"]').waitFor();
      await page.getByRole('button', { name: 'Stop', exact: true }).click();
      await page.getByText('Stopped', { exact: true }).waitFor();
      expect(await page.locator('#answer .token').count()).toBeLessThan(4000);
      await page.getByRole('button', { name: 'Reset' }).click();
    });

    it('shows the starter with its card', async () => {
      await page.getByRole('link', { name: 'Models', exact: true }).click();
      await page.locator('.prose').waitFor();
      expect(await text(page.locator('.facts'))).toContain('came with Inkstone');
      expect(await page.locator('.prose h3, .prose h4').count()).toBeGreaterThan(0);
    });

    it('trains a model of one’s own, live, and uses it', async () => {
      await page.getByRole('link', { name: 'Train', exact: true }).click();
      const file = { name: 'Reed Song.txt', mimeType: 'text/plain', buffer: Buffer.from(SONG.join('')) };
      await page.locator('#train-file').setInputFiles(file);
      await page.getByText('Uploaded:').waitFor();
      expect(await page.getByLabel('Name').inputValue()).toBe('reed-song');
      await page.locator('.presets input').first().check();
      await page.getByText('Steps and seed').click();
      await page.getByLabel('Steps', { exact: true }).fill('40');
      await page.getByRole('button', { name: 'Start training' }).click();
      await page.getByRole('heading', { name: 'reed-song' }).waitFor();
      await page.getByText('The model is ready.').waitFor();
      expect(await page.locator('.chart svg').count()).toBe(1);
      expect(await text(page.locator('.figures-large'))).toMatch(/Validation loss\s+\d\.\d+/);
      await page.reload();
      await page.locator('.chart svg').waitFor();
      await page.getByRole('link', { name: 'Use the model' }).click();
      await page.getByLabel('Your beginning').fill('The reeds');
      await page.getByRole('button', { name: 'Write', exact: true }).click();
      await page.getByText('reached the length limit').waitFor();
      expect(await page.getByLabel('Model', { exact: true }).inputValue()).toBe('reed-song');
      expect(await page.locator('#answer .token').count()).toBeGreaterThan(20);
    });

    it('tells what is wrong with a file that is no text', async () => {
      await page.getByRole('link', { name: 'Train', exact: true }).click();
      const bytes = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 7919) % 256));
      await page
        .locator('#train-file')
        .setInputFiles({ name: 'noise.txt', mimeType: 'text/plain', buffer: bytes });
      // The server may refuse it at once, or the training may.
      const start = page.getByRole('button', { name: 'Start training' });
      await Promise.race([page.getByRole('alert').waitFor(), page.getByText('Uploaded:').waitFor()]);
      if ((await page.getByRole('alert').count()) === 0) await start.click();
      const alert = page.getByRole('alert');
      await alert.waitFor();
      expect((await text(alert)).split('\n').length).toBeGreaterThan(1);
    });

    it('complained about nothing but what was refused', () => {
      expect(complaints.filter((complaint) => !/status of 4\d\d/.test(complaint))).toEqual([]);
    });
  },
);
