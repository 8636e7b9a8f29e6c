/** The room of live numbers in a real browser: numbers, charts, alerts that are silenced, languages, themes, a phone, a key. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, it } from 'vitest';
import { browserSuite, text } from './suite.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

browserSuite('watch', (stage) => {
  it('shows load, latency, replicas, alerts and cost by key', async () => {
    const page = await stage.open('#/watch');
    await page.getByRole('heading', { name: 'Live', exact: true }).waitFor();
    const tiles = await text(page.locator('.watch-tiles'));
    for (const shown of [
      'Running\n3',
      'Waiting\n2',
      'Tokens/s\n79.0',
      'First token, p95\n890 ms',
      'Memory\n51%',
    ])
      expect(tiles).toContain(shown);
    expect(await page.locator('.watch-line').count()).toBe(5);
    expect(await page.locator('.watch-line').first().getAttribute('d')).toMatch(/^M0\.0 /);
    expect(await text(page.locator('.watch-legend').nth(2))).toMatch(/95 of 100: 0\.89 s/);
    const replicas = page.getByRole('region', { name: 'Replicas' });
    expect(await text(replicas)).toMatch(/starter[\s\S]*412\.0 MB\s+42%\s+1/);
    const keys = page.getByRole('region', { name: 'Cost by key' });
    expect(await text(keys)).toMatch(/laptop ink-abcdef…\s+1,234\s+5\.6M\s+780K\s+6\.38\s+6\.38 of 10\.00/);
    expect(await text(keys)).toContain('no limit');
  });

  it('silences an alert and ends the silence', async () => {
    const page = await stage.open('#/watch');
    const alert = page.locator('.watch-alert').first();
    await alert.waitFor();
    expect(await text(alert)).toContain('fires · wakes somebody');
    await page.getByRole('button', { name: 'Silence for 2 hours QueueOld' }).click();
    await page.getByRole('button', { name: 'End the silence QueueOld' }).waitFor();
    expect(await text(alert)).toContain('silenced');
    expect(stage.server.watch.silences).toMatchObject([{ rule: 'QueueOld', hours: 2 }]);
    await page.getByRole('button', { name: 'End the silence QueueOld' }).click();
    await page.getByRole('button', { name: 'Silence for 2 hours QueueOld' }).waitFor();
    expect(stage.server.watch.silences).toEqual([]);
  });

  it('speaks Chinese, in both themes, on a phone, and to assistive technology', async () => {
    for (const [colorScheme, locale] of [
      ['light', 'en-US'],
      ['dark', 'zh-CN'],
    ] as const) {
      const page = await stage.open('#/watch', {
        colorScheme,
        locale,
        viewport: { width: 360, height: 740 },
        isMobile: true,
        hasTouch: true,
      });
      await page.locator('.watch-tiles').waitFor();
      await page.getByRole('heading', { name: locale === 'zh-CN' ? '实况' : 'Live', exact: true }).waitFor();
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
      await page.evaluate(AXE);
      const run = `axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'] })
        .then(({ violations }) => violations.flatMap((each) => each.nodes.map((node) => each.id + ': ' + node.html)))`;
      expect(await page.evaluate(run)).toEqual([]);
    }
  });

  it('asks for a key where the server wants one, and logs in with a cookie that no script reads', async () => {
    stage.expectComplaint(/401/);
    stage.server.behaviour.key = 'ink-right';
    const page = await stage.open('#/watch');
    const field = page.getByLabel('API key');
    await field.first().fill('ink-wrong');
    await page.getByRole('button', { name: 'Use this key' }).first().click();
    await page.getByText('This key is not known.').first().waitFor();
    await field.first().fill('ink-right');
    await page.getByRole('button', { name: 'Use this key' }).first().click();
    await page.locator('.watch-tiles').waitFor();
    expect(await page.evaluate('document.cookie')).toBe('');
    expect(
      await page.evaluate('JSON.stringify(sessionStorage) + JSON.stringify(localStorage)'),
    ).not.toContain('ink-right');
    await page.getByRole('button', { name: 'Silence for 2 hours QueueOld' }).click();
    await page.getByRole('button', { name: 'End the silence QueueOld' }).click();
    await page.reload();
    await page.locator('.watch-tiles').waitFor();
  });
});
