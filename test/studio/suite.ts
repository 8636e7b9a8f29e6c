/** What every browser test of the studio shares: one Chromium and one scripted server per file. */
import path from 'node:path';
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';
import { builtStudio, CHROMIUM, launch, NO_CHROMIUM, visit } from './browser.ts';
import { type FixtureServer, startFixtureServer } from './fixture-server.ts';

export interface Stage {
  server: FixtureServer;
  browser: Browser;
  /** A fresh visitor at an address of the studio. What the page complains about fails the test. */
  open(path?: string, options?: BrowserContextOptions): Promise<Page>;
  /** A complaint that a test provokes on purpose: failed requests are logged by the browser itself. */
  expectComplaint(pattern: RegExp): void;
}

/** Where INKSTONE_SCREENSHOTS names a folder: what a test leaves on the screen, page by page, under its name. */
async function keepPictures(pages: readonly Page[], name: string): Promise<void> {
  const folder = process.env.INKSTONE_SCREENSHOTS;
  if (folder === undefined || folder === '') return;
  // Short enough for every file system, whatever the letters.
  const plain = name.replace(/[^\p{L}\p{N}]+/gu, '-').slice(0, 80);
  const open = pages.filter((page) => !page.isClosed());
  for (const [at, page] of open.entries()) {
    const file = `${plain}${at === 0 ? '' : `-${at + 1}`}.png`;
    await page.screenshot({ path: path.join(folder, file), fullPage: true });
  }
}

/** Declares tests in a browser; skipped, with the reason said, where there is none. */
export function browserSuite(name: string, tests: (stage: Stage) => void): void {
  if (CHROMIUM === undefined) {
    console.warn(`skipped: ${name}: ${NO_CHROMIUM}`);
    describe.skip(`${name} (${NO_CHROMIUM})`, () => tests({} as Stage));
    return;
  }
  describe(name, { timeout: 300_000 }, () => {
    let visits: Awaited<ReturnType<typeof visit>>[] = [];
    let expected: RegExp[] = [];
    const stage = {
      async open(path = '', options = {}) {
        const visited = await visit(stage.browser, `${stage.server.url}/${path}`, options);
        visits.push(visited);
        return visited.page;
      },
      expectComplaint: (pattern: RegExp) => {
        expected.push(pattern);
      },
    } as Stage;

    beforeAll(async () => {
      [stage.server, stage.browser] = await Promise.all([startFixtureServer(builtStudio()), launch()]);
    });
    afterAll(async () => {
      await stage.browser?.close();
      await stage.server?.close();
    });
    afterEach(async ({ task }) => {
      const complaints = visits.flatMap((visited) => visited.complaints);
      const pages = visits.map((visited) => visited.page);
      await keepPictures(pages, `${name} ${task.name}`).finally(() =>
        Promise.all(visits.map((visited) => visited.context.close())),
      );
      const unexpected = complaints.filter((text) => !expected.some((pattern) => pattern.test(text)));
      visits = [];
      expected = [];
      stage.server.behaviour = { pause: 2, loadingFor: 0 };
      stage.server.requests.length = 0;
      expect(unexpected).toEqual([]);
    });
    tests(stage);
  });
}

/** The words of an element as they are drawn: unlike its text content, without what is hidden. */
export function text(element: Locator): Promise<string> {
  // biome-ignore lint/performance/useDomNodeTextContent: the drawn words are what is tested
  return element.innerText();
}
