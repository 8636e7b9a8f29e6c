/** The page itself in a real browser: languages, themes, phones, keyboard, accessibility, the models room. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { browserSuite, text } from './suite.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

const RULES = ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'];
/** Rules that a theme's colours decide; all others see the same page in every theme. */
const COLOURS = { type: 'rule', values: ['color-contrast', 'link-in-text-block'] };

/** What axe-core finds against WCAG 2.2 AA and its own best practices, and of colours in another theme, too. */
async function violations(page: Page, other?: 'light' | 'dark'): Promise<string[]> {
  // It stays while the page does: from room to room only the address's fragment changes.
  if (!(await page.evaluate('"axe" in window'))) await page.evaluate(AXE);
  const run = (runOnly: unknown): Promise<string[]> =>
    // Nothing is gathered of what is well.
    page.evaluate(`axe.run(document, { resultTypes: ['violations'], runOnly: ${JSON.stringify(runOnly)} })
      .then(({ violations }) => violations.flatMap((each) => each.nodes.map((node) => each.id + ': ' + node.html + ' ' + node.failureSummary)))`);
  const found = await run(RULES);
  if (other === undefined) return found;
  await page.emulateMedia({ colorScheme: other });
  const coloured = await run(COLOURS);
  await page.emulateMedia({ colorScheme: other === 'dark' ? 'light' : 'dark' });
  return [...found, ...coloured.map((each) => `${other}: ${each}`)];
}

async function generate(page: Page): Promise<void> {
  await page.locator('.welcome .button.primary').click();
  await page.locator('.answer-actions').waitFor();
}

async function trained(
  stage: { server: { url: string } },
  name: string,
  preset = 'nanogpt-cpu',
): Promise<string> {
  const body = JSON.stringify({ name, file: 'f', preset, steps: 200 });
  const answer = await fetch(`${stage.server.url}/api/trainings`, { method: 'POST', body });
  return ((await answer.json()) as { id: string }).id;
}

browserSuite('page', (stage) => {
  it('is built for use: small, and without places in the source', async () => {
    const page = await stage.open();
    await page.locator('#prompt').waitFor();
    const script = await page.locator('script[type=module]').getAttribute('src');
    const code = await (await fetch(new URL(script ?? '', stage.server.url))).text();
    expect(code).not.toMatch(/lineNumber:|\.tsx/);
    expect(gzipSync(code).length).toBeLessThan(120_000);
  });

  it('speaks the browser’s language and switches for good', async () => {
    const page = await stage.open('', { locale: 'zh-CN' });
    await page.getByRole('heading', { name: '在自己的电脑上，养一个语言模型' }).waitFor();
    expect(await page.getAttribute('html', 'lang')).toBe('zh-CN');
    expect(await page.title()).toBe('试写 · 砚台 Inkstone');
    await page.getByRole('button', { name: 'English' }).click();
    await page.getByRole('heading', { name: 'A language model, grown on your own machine' }).waitFor();
    expect(await page.getAttribute('html', 'lang')).toBe('en');
    await page.reload();
    await page.getByRole('button', { name: '中文' }).waitFor();
    expect(await page.title()).toBe('Playground · Inkstone');
  });

  it('follows the system’s theme until one is chosen', async () => {
    const page = await stage.open('', { colorScheme: 'dark' });
    const ground = () => page.evaluate('getComputedStyle(document.documentElement).backgroundColor');
    const [dark, light] = ['rgb(20, 22, 24)', 'rgb(246, 242, 233)'];
    expect(await ground()).toBe(dark);
    await page.emulateMedia({ colorScheme: 'light' });
    expect(await ground()).toBe(light);
    const button = page.getByRole('button', { name: /^Theme/ });
    await button.click();
    await button.click();
    expect(await button.getAttribute('aria-label')).toBe('Theme: Dark');
    expect(await ground()).toBe(dark);
    await page.reload();
    expect(await ground()).toBe(dark);
  });

  it('lists models with their cards, as text and never as markup', async () => {
    const page = await stage.open('#/models');
    await page.getByRole('link', { name: /^starter ready/ }).click();
    await page.getByRole('heading', { name: 'How it was made' }).waitFor();
    expect(await text(page.locator('.facts'))).toContain('2,734,080');
    expect(await page.locator('.prose table tr').count()).toBe(4);
    expect(await page.getByText('<img src=x').count()).toBe(1);
    expect(await page.locator('.prose img, .prose script, .prose a[href^=java]').count()).toBe(0);
    expect(await page.evaluate('window.injected')).toBeUndefined();
    expect(await page.getByText('license: mit').count()).toBe(0);
    await page.getByRole('link', { name: /^sea-letters/ }).click();
    await page.getByText('This model came without a card.').waitFor();
    expect(await text(page.locator('.model-row.current'))).toContain('loading');
    await page.getByRole('link', { name: 'Use in the playground' }).click();
    expect(await page.getByLabel('Model', { exact: true }).inputValue()).toBe('sea-letters');
    await page.goto(`${stage.server.url}/#/models/nobody`);
    await page.getByText('There is no model named “nobody”.').waitFor();
  });

  it('is usable with the keyboard alone', async () => {
    const page = await stage.open();
    await page.locator('#prompt').waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    expect(await page.evaluate('document.activeElement.id')).toBe('content');
    const focused = 'document.activeElement.innerText.trim()';
    await page.keyboard.press('Tab');
    expect(await page.evaluate(focused)).toBe('Watch it write');
    const outline = await page.evaluate('getComputedStyle(document.activeElement).outlineStyle');
    expect(outline).toBe('solid');
    await page.keyboard.press('Enter');
    await page.locator('.answer-actions').waitFor();
    // The button is gone; the reader is at the answer, one Tab before its switch and its tokens.
    await expect.poll(() => page.evaluate('document.activeElement.id')).toBe('answer');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('ArrowRight');
    expect(await page.locator('.token.selected').count()).toBe(1);
    // After a change of room the focus is on its heading.
    await page.getByRole('link', { name: 'Train', exact: true }).press('Enter');
    await page.getByRole('heading', { name: 'Train', exact: true }).waitFor();
    await expect.poll(() => page.evaluate('document.activeElement.tagName')).toBe('H1');
  });

  it.each(['en-US', 'zh-CN'])('fits a phone without scrolling sideways (%s)', async (locale) => {
    await trained(stage, `a-rather-long-model-name-${locale.toLowerCase()}`);
    const job = stage.server.trainings.at(-1);
    const page = await stage.open('', { ...PHONE, locale });
    const over = () =>
      page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
    await generate(page);
    await page.locator('[data-unit="30"]').tap();
    const card = await page.locator('.inspector').boundingBox();
    expect(card?.x).toBeGreaterThanOrEqual(0);
    expect((card?.x ?? 0) + (card?.width ?? 0)).toBeLessThanOrEqual(360);
    expect(await over()).toBe(0);
    await page.locator('.desk-side summary').click();
    await page.locator('.actions [aria-expanded]').click();
    expect(await over()).toBe(0);
    for (const path of [
      'compare',
      'inspect',
      'train?mode=tune',
      'models',
      'models/starter',
      'models/starter-digits',
      'images',
      'images?model=icons',
      'images?model=icons&view=way',
      'images?model=denoiser&view=edit',
      'train',
      'train?mode=pictures',
      `train/${job?.id}`,
      'playground?model=little-sage',
    ]) {
      await page.goto(`${stage.server.url}/#/${path}`);
      await page.locator('h1').waitFor();
      await page.waitForLoadState('networkidle');
      expect(await over(), path).toBe(0);
    }
  });

  it.each([
    ['light', {}, 'dark'],
    ['light', PHONE, undefined],
    ['dark', { ...PHONE, locale: 'zh-CN' }, undefined],
  ] as const)('passes axe-core in every room (%s %j, colours: %s)', async (colorScheme, options, other) => {
    await trained(stage, `axe-${stage.server.trainings.length}`);
    const job = stage.server.trainings.at(-1);
    const page = await stage.open('', { ...options, colorScheme });
    await page.locator('#prompt').waitFor();
    expect(await violations(page, other)).toEqual([]);
    await generate(page);
    await page.locator('.actions [aria-expanded]').click();
    await page.locator('.token-text').press('ArrowRight');
    expect(await violations(page, other)).toEqual([]);
    await expect.poll(() => job?.ended).toBe(true);
    await page.goto(`${stage.server.url}/#/compare`);
    await page.locator('.compare .chip').first().click();
    for (const summary of await page.locator('.compare-more summary').all()) await summary.click();
    await page.locator('.compare .actions .primary').click();
    await page.locator('.verdict .button').first().click();
    await page.locator('.votes').waitFor();
    // The head of the page lies over what has been scrolled under it.
    await page.evaluate('scrollTo(0, 0)');
    expect(await violations(page, other), 'compare').toEqual([]);
    await page.goto(`${stage.server.url}/#/train?mode=tune`);
    for (const name of ['talks.jsonl', 'bad.jsonl', 'foreign.txt']) {
      await page
        .locator('#train-file')
        .setInputFiles({ name, mimeType: 'text/plain', buffer: Buffer.from('x') });
      await page.locator('.drop-words', { hasText: name }).waitFor();
      await page.locator('.check-found').waitFor();
      expect(await violations(page, other), name).toEqual([]);
    }
    for (const view of ['surprise', 'attention']) {
      await page.goto(`${stage.server.url}/#/inspect?view=${view}`);
      await page.locator('.inspect .chip').first().click();
      await page.locator('.inspect .actions .primary').click();
      await page
        .locator(view === 'surprise' ? '.token-text .level-2' : '.map-large')
        .first()
        .waitFor();
      await page.locator('.chart-table summary').click();
      expect(await violations(page, other), view).toEqual([]);
    }
    await page.goto(`${stage.server.url}/#/images?model=denoiser`);
    await page.locator('.pictures-make .primary').click();
    await page.locator('.picture-tile').first().waitFor();
    await page.goto(`${stage.server.url}/#/images?model=denoiser&view=edit`);
    await page.locator('#mask').press('Space');
    await page.locator('.edit .primary').click();
    await page.locator('.picture-tile').first().waitFor();
    expect(await violations(page, other), 'changing').toEqual([]);
    const mixed = await trained(stage, `axe-icons-${stage.server.trainings.length}`, 'icons-stylegan2');
    for (const path of [
      'images',
      'images?model=icons',
      'images?model=icons&view=way',
      'train?mode=pictures',
      `train/${mixed}`,
      'models',
      'models/starter',
      'models/starter-digits',
      'train',
      `train/${job?.id}`,
      'playground?model=little-sage',
    ]) {
      await page.goto(`${stage.server.url}/#/${path}`);
      await page.locator('h1').waitFor();
      await page.waitForLoadState('networkidle');
      expect(await violations(page, other), path).toEqual([]);
    }
  });

  it('says so when the server goes, and comes back with it', async () => {
    stage.expectComplaint(/ERR_FAILED|ERR_CONNECTION/);
    const page = await stage.open('#/models');
    await page.locator('.model-row').first().waitFor();
    await page.route('**/api/**', (route) => route.abort());
    await page.getByRole('link', { name: 'Playground', exact: true }).click();
    await page.getByText('The server is not answering.').waitFor();
    await page.unroute('**/api/**');
    await page.getByText('The server is not answering.').waitFor({ state: 'detached' });
  });

  it('moves nothing where motion is unwelcome', async () => {
    const page = await stage.open();
    await page.locator('.ring').first().waitFor();
    const running = 'document.getAnimations().filter((each) => each.playState === "running").length';
    expect(await page.evaluate(running)).toBe(0);
    const lively = await stage.open('', { reducedMotion: 'no-preference' });
    await lively.locator('.ring').first().waitFor();
    expect(await lively.evaluate(running)).toBeGreaterThan(0);
  });
});
