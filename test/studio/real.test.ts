/**
 * The studio against the real server and the starter model: one walk through all rooms, from the first
 * press of a button to a model of one's own that answers.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { zipSync } from 'fflate';
import type { Browser, Page } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtStudio, CHROMIUM, launch, NO_CHROMIUM, visit } from './browser.ts';
import { text } from './suite.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const STARTER = join(ROOT, 'models', 'starter', 'model.safetensors');
/** A machine with other work needs longer than it takes here. */
const SLOW = 300_000;
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

/** Bars on the left and on the right, a folder each. */
async function bars(count: number): Promise<Buffer> {
  const files: Record<string, Uint8Array> = {};
  for (let i = 0; i < count; i++) {
    const left = i % 2 === 0;
    const pixels = Buffer.alloc(256);
    for (let y = 2; y < 6 + (i % 9); y++)
      pixels.fill(250, y * 16 + (left ? 1 : 10), y * 16 + (left ? 6 : 15));
    const raw = { width: 16, height: 16, channels: 1 as const };
    files[`${left ? 'left' : 'right'}/${i}.png`] = await sharp(pixels, { raw }).png().toBuffer();
  }
  return Buffer.from(zipSync(files));
}

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
      builtStudio();
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
      page.setDefaultTimeout(100_000);
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
      // Not a line end, which has no width to point at.
      await page.locator('#answer .token', { hasText: /\w/ }).nth(2).hover();
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

    it(
      'trains a model of one’s own, live, and uses it',
      async () => {
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
      },
      SLOW,
    );

    it(
      'looks inside the starter: surprise and attention of a real sentence',
      async () => {
        await page.getByRole('link', { name: 'Inspect', exact: true }).click();
        await page.getByLabel('Model', { exact: true }).selectOption('starter');
        await page.getByLabel('Text', { exact: true }).fill('The old man looked at the sea.');
        await page.getByRole('button', { name: 'Look', exact: true }).click();
        await page.locator('.token-text .token').first().waitFor();
        expect(await text(page.locator('.token-text'))).toBe('The old man looked at the sea.');
        expect(await text(page.locator('.surprise-facts'))).toMatch(/Perplexity\s+\d+\.\d/);
        await page.getByLabel('Attention').check();
        await page.locator('.map-large').waitFor();
        expect(await page.locator('.head').count()).toBe(6 * 5);
        const [row] = await page.locator('.attention-list li .share').allInnerTexts();
        expect(Number.parseFloat(row ?? '')).toBeGreaterThan(0);
      },
      SLOW,
    );

    it(
      'compares two prompts of the starter blindly, and counts the vote',
      async () => {
        await page.getByRole('link', { name: 'Compare', exact: true }).click();
        for (const side of ['A', 'B']) await page.getByLabel(`Model of side ${side}`).selectOption('starter');
        await page.getByLabel('Input', { exact: true }).fill('the sea was calm');
        for (const side of ['a', 'b']) {
          await page.locator(`details:has(#compare-${side}-maxTokens) summary`).click();
          await page.locator(`#compare-${side}-maxTokens`).fill('12');
          await page.locator(`#compare-${side}-maxTokens`).blur();
        }
        await page.locator('#compare-b-template').fill('CHAPTER I\n\n{{input}}');
        await page.getByLabel('Blind').check();
        await page.getByRole('button', { name: 'Write both' }).click();
        await page.getByRole('button', { name: 'Right is better' }).click();
        await page.getByText(/^Your vote: starter/).waitFor();
        const row = page.locator('.votes tbody tr');
        await row.waitFor();
        expect(await text(row)).toContain('1 vote, 1 of them blind');
        expect(await text(row)).toMatch(/(100% \(21% to 100%\)|0% \(0% to 79%\))/);
      },
      SLOW,
    );

    it(
      'makes digits at once, goes from one to another, and hands them over with what made them',
      async () => {
        await page.getByRole('link', { name: 'Images', exact: true }).click();
        await page.getByRole('option', { name: 'Seed 3, class 2' }).waitFor();
        await page.getByRole('slider', { name: 'Class', exact: true }).fill('7');
        const seven = page.getByRole('option', { name: 'Seed 3, class 7' });
        await seven.click();
        const [download] = await Promise.all([
          page.waitForEvent('download'),
          page.getByRole('link', { name: 'Download' }).click(),
        ]);
        expect(download.suggestedFilename()).toBe('starter-digits-seed3-7.png');
        const about = await sharp(await readFile(await download.path())).metadata();
        expect([about.width, about.height]).toEqual([28, 28]);
        expect(about.xmp?.toString()).toContain('&quot;seed&quot;:3,&quot;class&quot;:&quot;7&quot;');
        await page.getByLabel('In between').check();
        await page.getByText('Picture 1 of 96').waitFor();
        const [film] = await Promise.all([
          page.waitForEvent('download'),
          page.getByRole('button', { name: 'Save as GIF' }).click(),
        ]);
        const moving = await sharp(await readFile(await film.path()), { animated: true }).metadata();
        expect([moving.format, moving.pages]).toEqual(['gif', 96]);
      },
      SLOW,
    );

    it(
      'trains a model of one’s own pictures, its sheets growing, and uses it',
      async () => {
        await page.getByRole('link', { name: 'Train', exact: true }).click();
        await page.getByLabel('Pictures', { exact: true }).check();
        const file = { name: 'Two Bars.zip', mimeType: 'application/zip', buffer: await bars(40) };
        await page.locator('#train-file').setInputFiles(file);
        await page.getByText('Uploaded:').waitFor();
        await page.getByRole('radio', { name: /^Tiny/ }).check();
        await page.getByText('Steps and seed').click();
        await page.getByLabel('Steps', { exact: true }).fill('30');
        await page.getByRole('button', { name: 'Start training' }).click();
        await page.getByRole('heading', { name: 'two-bars' }).waitFor();
        await page.getByText('The model is ready.').waitFor();
        expect(await text(page.locator('.figures-large'))).toMatch(/Distance \(fid_pixels\)\s+\d+\.\d\d/);
        await page.getByAltText('Sample sheet after step 30').waitFor();
        expect(await page.evaluate('document.querySelector(".sheets-picture").naturalWidth')).toBe(274);
        await page.getByRole('link', { name: 'Use the model' }).click();
        await page.getByRole('option', { name: 'Seed 2, class right' }).waitFor();
        expect(await page.getByLabel('Image model').inputValue()).toBe('two-bars');
      },
      SLOW,
    );

    it(
      'tunes the starter on conversations, and the tuned one answers turns',
      async () => {
        const talks = Array.from({ length: 16 }, (_, i) =>
          JSON.stringify({
            messages: [
              { role: 'user', content: `The ${i % 7} reeds` },
              { role: 'assistant', content: 'bend and come home.' },
            ],
          }),
        );
        await page.getByRole('link', { name: 'Train', exact: true }).click();
        await page.getByLabel('Tune a model').check();
        await page.getByLabel('Model to start from').selectOption('reed-song');
        const file = { name: 'talks.jsonl', mimeType: 'text/plain' };
        const broken = Buffer.from([...talks, 'nonsense'].join('\n'));
        await page.locator('#train-file').setInputFiles({ ...file, buffer: broken });
        await page.getByText('1 of 17 lines cannot be used.').waitFor();
        expect(await text(page.locator('.check-errors'))).toBe('Line 17 it is not JSON');
        await page.locator('#train-file').setInputFiles({ ...file, buffer: Buffer.from(talks.join('\n')) });
        // A model of a song's characters has no way to mark who speaks.
        await page.getByText('This model cannot be tuned on conversations').waitFor();
        await page.getByLabel('Model to start from').selectOption('starter');
        await page.getByText('Every line can be used.').waitFor();
        await page.getByLabel('Name', { exact: true }).fill('reeds');
        await page.getByRole('button', { name: 'Start tuning' }).click();
        await page.getByRole('heading', { name: /^ft:starter:inkstone:reeds:/ }).waitFor();
        await page.getByText('The model is ready.').waitFor();
        await page.getByText('Finished. The model answers.').waitFor();
        await page.getByRole('link', { name: 'Use the model' }).click();
        await page.getByLabel('Your message').fill('The 3 reeds');
        await page.getByRole('spinbutton', { name: 'Max tokens' }).fill('20');
        await page.getByRole('button', { name: 'Send' }).click();
        await page.locator('.turn-assistant .figures', { hasText: 'Done' }).waitFor();
        expect(await page.locator('.turn-assistant .token').count()).toBeGreaterThan(0);
        await page.getByRole('button', { name: 'Reset' }).click();
      },
      SLOW,
    );

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

    // 503: a model that is being loaded; the page asks again.
    it('complained about nothing but what was refused', () => {
      expect(complaints.filter((complaint) => !/status of (4\d\d|503)/.test(complaint))).toEqual([]);
    });
  },
);
