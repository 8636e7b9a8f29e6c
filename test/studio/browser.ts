/** A Chromium for the studio's tests, if this machine has one, and the studio as it is built for use. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const PLACES = [
  process.env.CHROME_PATH,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
];

export const CHROMIUM = PLACES.find((place) => place !== undefined && place !== '' && existsSync(place));

/** Said where the tests are skipped. */
export const NO_CHROMIUM = 'no Chromium found; install one or set CHROME_PATH to drive the studio in it';

export async function launch(): Promise<Browser> {
  if (CHROMIUM === undefined) throw new Error(NO_CHROMIUM);
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** Brings `dist/studio` up to date, one process at a time, and tells where that is. */
export function builtStudio(): string {
  execFileSync(process.execPath, [join(ROOT, 'tools', 'studio.mjs')], { cwd: ROOT });
  return join(ROOT, 'dist', 'studio');
}

/** A fresh visitor, and everything the page complains about. */
export async function visit(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; context: BrowserContext; complaints: string[] }> {
  const context = await browser.newContext({
    locale: 'en-US',
    colorScheme: 'light',
    viewport: { width: 1280, height: 900 },
    reducedMotion: 'reduce',
    ...options,
  });
  // Long: a machine with other work is slow, and nothing here is about speed.
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    // What the page itself holds has no server to come from.
    const asked = request.url().replace(/^blob:/, '');
    if (!asked.startsWith('data:') && !asked.startsWith(new URL(url).origin))
      complaints.push(`left the server: ${asked}`);
  });
  await page.goto(url);
  return { page, context, complaints };
}
