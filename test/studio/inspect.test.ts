/** Looking inside, in a real browser: surprise and attention, by pointer and keys, and what goes wrong. */
import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { browserSuite, text } from './suite.ts';

const SENTENCE = 'The ink is dry and the pen is old.';

async function read(page: Page, words = SENTENCE): Promise<void> {
  await page.getByLabel('Text', { exact: true }).fill(words);
  await page.getByRole('button', { name: 'Look', exact: true }).click();
}

browserSuite('inspect', (stage) => {
  it('tints every token by its surprise, in nats or bits', async () => {
    const page = await stage.open('#/inspect');
    await read(page);
    const first = page.locator('[data-unit="0"]');
    await first.waitFor();
    expect(stage.server.requests).toEqual([
      { model: 'starter', text: SENTENCE, top: 5, attention: false, format: 'base64' },
    ]);
    expect(await text(page.locator('.token-text'))).toBe(SENTENCE);
    // Nothing comes before the first.
    expect(await first.getAttribute('class')).toBe('token');
    const levels = await page.locator('.token-text [class*=level-]').count();
    expect(levels).toBe((await page.locator('.token-text .token').count()) - 1);
    expect(await text(page.locator('.surprise-facts'))).toMatch(/Mean surprise\s+\d\.\d\d nats/);
    const legend = page.locator('.surprise-legend');
    expect((await text(legend)).split('\n')).toEqual([
      'under 1',
      '1 to 2',
      '2 to 4',
      '4 to 6',
      'over 6',
      'nats',
    ]);
    await page.getByLabel('bits', { exact: true }).check();
    expect(await text(legend)).toContain('2.9 to 5.8');
    expect(await text(page.locator('.surprise-facts'))).toMatch(/\d\.\d\d bits/);
    // The choice is kept.
    await page.reload();
    expect(await page.getByLabel('Text', { exact: true }).inputValue()).toBe(SENTENCE);
    await page.getByRole('button', { name: 'Look', exact: true }).click();
    await page.locator('[data-unit="0"]').waitFor();
    expect(await text(legend)).toContain('2.9 to 5.8');
  });

  it('shows alternatives and the rank on a token, and the worst tokens in a table', async () => {
    const page = await stage.open('#/inspect');
    await read(page);
    await page.locator('[data-unit="1"]').hover();
    const card = page.locator('.inspector');
    expect(await text(card)).toMatch(/the model’s guess no\. \d+/);
    expect(await card.locator('li').count()).toBeGreaterThanOrEqual(4);
    const rows = page.locator('.surprise-table tbody tr');
    expect(await rows.count()).toBe(8);
    const values = (await rows.locator('td:nth-child(2)').allInnerTexts()).map(Number);
    expect(values).toEqual([...values].sort((a, b) => b - a));
    await page.getByText('Show every token as a table').click();
    const all = page.locator('details .surprise-table tbody tr');
    await expect.poll(() => all.count()).toBe(await page.locator('.token-text .token').count());
  });

  it('shows where each head looks, by pointer and keys', async () => {
    const page = await stage.open('#/inspect?view=attention');
    await read(page);
    await page.locator('.map-large').waitFor();
    expect(stage.server.requests[0]).toMatchObject({ attention: true });
    expect(await page.getByRole('radio', { name: /^Layer \d, (head \d|mean)/ }).count()).toBe(3 * 5);
    await page.getByRole('radio', { name: 'Layer 2, head 2' }).check();
    await page.getByRole('heading', { name: 'Layer 2, head 2' }).waitFor();
    // This head looks at the token before.
    await page.locator('[data-token="3"]').hover();
    const list = page.locator('.attention-list li');
    expect(await text(list.first())).toMatch(/␣is\s+3\s+9\d%/);
    expect(await text(page.locator('.attention-of'))).toBe('␣dry looks at');
    const strip = page.getByRole('group', { name: /^Text\./ });
    await strip.press('ArrowRight');
    expect(await text(page.locator('.attention-of'))).toBe('␣and looks at');
    expect(await page.locator('.attention-text [role=status]').textContent()).toMatch(
      /^␣and looks at: ␣dry 9\d%/,
    );
    await strip.press('Home');
    expect(await text(list.first())).toMatch(/The\s+1\s+100%/);
    // The other way round.
    await page.getByLabel('is looked at by').check();
    await page.locator('[data-token="2"]').hover();
    expect(await text(list.first())).toMatch(/␣dry\s+4\s+9\d%/);
    await page.getByText(/^Show the row of/).click();
    const shares = page.locator('.attention-text table tbody tr');
    await expect.poll(() => shares.count()).toBe(await page.locator('[data-token]').count());
    // Arrow keys go from head to head.
    await page.getByRole('radio', { name: 'Layer 2, head 2' }).press('ArrowRight');
    await page.getByRole('heading', { name: 'Layer 2, head 3' }).waitFor();
  });

  it('draws the maps in the page’s own colours, anew when the theme changes', async () => {
    // Reading pixels is the test's own doing.
    stage.expectComplaint(/willReadFrequently/);
    const page = await stage.open('#/inspect?view=attention');
    await read(page);
    await page.locator('.map-large').waitFor();
    // The upper right corner is never looked at: it is paper.
    const corner = () =>
      page.evaluate(
        `(() => { const c = document.querySelector('.map-large'); return [...c.getContext('2d').getImageData(c.width - 1, 0, 1, 1).data].slice(0, 3).join() })()`,
      );
    expect(await corner()).toBe('255,253,248');
    await page.emulateMedia({ colorScheme: 'dark' });
    await expect.poll(corner).toBe('28,31,34');
  });

  it('reads the other view of the same text by itself, and says when the text was changed', async () => {
    const page = await stage.open('#/inspect');
    await read(page);
    await page.locator('[data-unit="0"]').waitFor();
    await page.getByLabel('Attention').check();
    await page.locator('.map-large').waitFor();
    expect(await page.evaluate('location.hash')).toBe('#/inspect?view=attention');
    await page.getByLabel('Text', { exact: true }).fill('Something else');
    await page.getByText('The text was changed since.').waitFor();
    await page.getByLabel('Surprise').check();
    expect(await text(page.locator('.token-text'))).toBe(SENTENCE);
  });

  it('asks for a text, and tells when it is too long for maps', async () => {
    stage.expectComplaint(/400/);
    const page = await stage.open('#/inspect?view=attention');
    await page.getByRole('button', { name: 'Look', exact: true }).click();
    expect(await page.getByText('Give a text first').isVisible()).toBe(true);
    expect(stage.server.requests).toEqual([]);
    await read(page, 'word '.repeat(200));
    expect(await text(page.getByRole('alert'))).toContain('256 are looked at');
    await page.getByText('Maps are drawn for at most 256 tokens.').waitFor();
    await page.getByLabel('Surprise').check();
    expect(await page.getByRole('alert').count()).toBe(0);
  });
});
