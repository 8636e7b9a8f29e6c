/** Comparing in a real browser: two streams at once, prompts, blind rounds, votes and their table, links. */
import type { Page } from 'playwright-core';
import { afterEach, expect, it } from 'vitest';
import { TEXT } from './fixture-texts.ts';
import { browserSuite, text } from './suite.ts';

const answer = (page: Page, place: number) => page.locator('.compare-answer').nth(place);
const names = (page: Page) => page.locator('.compare-name').allInnerTexts();

async function write(page: Page, words = 'Once upon a time'): Promise<void> {
  await page.getByLabel('Input', { exact: true }).fill(words);
  await page.getByRole('button', { name: 'Write both' }).click();
}

browserSuite('compare', (stage) => {
  afterEach(() => {
    stage.server.votes.length = 0;
  });

  it('lets two models write side by side, with speed, waiting time and surprise', async () => {
    const page = await stage.open('#/compare');
    expect(await page.getByLabel('Model of side A').inputValue()).toBe('starter');
    // Another one by itself.
    expect(await page.getByLabel('Model of side B').inputValue()).toBe('little-sage');
    await write(page);
    await page.locator('.verdict').waitFor();
    for (const place of [0, 1]) {
      expect(await answer(page, place).locator('.token').count()).toBe(120);
      expect(await answer(page, place).locator('[class*=level-4]').count()).toBeGreaterThan(5);
      const figures = await text(answer(page, place).locator('.figures'));
      expect(figures).toMatch(
        /120 tokens\s*[\d,]+ tokens\/s\s*first token after [\d,]+ ms\s*mean surprise \d\.\d\d nats/,
      );
    }
    expect(await names(page)).toEqual(['starter', 'little-sage']);
    // The base model goes on with the text, the other is spoken to.
    const bodies = [...stage.server.requests].sort((one, other) =>
      'prompt' in one ? -1 : 'prompt' in other ? 1 : 0,
    );
    expect(bodies).toMatchObject([
      { model: 'starter', prompt: 'Once upon a time', seed: 1, logprobs: 5 },
      { model: 'little-sage', messages: [{ role: 'user', content: 'Once upon a time' }], logprobs: true },
    ]);
    await answer(page, 0).locator('[data-unit="2"]').hover();
    expect(await text(page.locator('.inspector'))).toContain('log-prob');
  });

  it('streams both at once, and stops both', async () => {
    const page = await stage.open('#/compare');
    stage.server.behaviour.pause = 250;
    const before = stage.server.hungUp;
    await write(page);
    for (const place of [0, 1]) await answer(page, place).locator('[data-unit="3"]').waitFor();
    await page.getByRole('button', { name: 'Stop both' }).click();
    await expect.poll(() => stage.server.hungUp).toBe(before + 2);
    for (const place of [0, 1]) await answer(page, place).getByText('Stopped', { exact: true }).waitFor();
    expect(await answer(page, 0).locator('.token').count()).toBeLessThan(120);
  });

  it('compares two prompts of one model, and counts the votes with an interval', async () => {
    const page = await stage.open('#/compare');
    await page.getByLabel('Model of side B').selectOption('starter');
    await write(page, 'the sea');
    await page.getByText('Both sides are the same').waitFor();
    await page.getByText('Prompt and settings of B').click();
    await page.locator('#compare-b-template').fill('A poem about');
    expect(await page.getByText('Without {{input}} the input is not used.').isVisible()).toBe(true);
    await page.locator('#compare-b-template').fill('A poem about {{input}}:\n');
    await page.locator('#compare-b-temperature').fill('0.2');
    await page.locator('#compare-b-temperature').blur();
    await page.getByRole('button', { name: 'Write both' }).click();
    await page.getByRole('button', { name: 'B is better' }).click();
    const name = 'starter · “A poem about {{input}}:” · T 0.2';
    expect(await text(page.locator('.verdict-said'))).toBe(`Your vote: ${name}.`);
    expect(stage.server.requests.at(-1)).toMatchObject({
      prompt: 'A poem about the sea:\n',
      temperature: 0.2,
    });
    expect(stage.server.votes).toMatchObject([
      {
        a: { name: 'starter', model: 'starter', text: expect.stringContaining(TEXT.slice(0, 40).join('')) },
        b: { name, model: 'starter', prompt: 'A poem about {{input}}:\n', settings: { temperature: 0.2 } },
        ...{ winner: 'b', blind: false, input: 'the sea' },
      },
    ]);
    // One vote a round; the next one is asked for again.
    expect(await page.getByRole('button', { name: 'Equally good' }).count()).toBe(0);
    await page.getByRole('button', { name: 'Write both' }).click();
    await page.getByRole('button', { name: 'Equally good' }).click();
    await page.getByText('Your vote: equally good.').waitFor();
    const row = page.locator('.votes tbody tr');
    await expect.poll(() => text(row.locator('td').nth(1))).toBe('1');
    expect(await text(row.locator('td').first())).toBe('0 : 1');
    expect(await text(row)).toContain('2 votes, 0 of them blind');
    expect(await text(row)).toContain('0% (0% to 79%)');
    // They are forgotten only when that is meant.
    await page.getByRole('button', { name: 'Forget all votes' }).click();
    await page.getByRole('button', { name: 'Keep them' }).click();
    expect(stage.server.votes).toHaveLength(2);
    await page.getByRole('button', { name: 'Forget all votes' }).click();
    await page.getByRole('button', { name: 'Forget all votes' }).click();
    await page.getByText('No votes yet.').waitFor();
    expect(stage.server.votes).toHaveLength(0);
  });

  it('hides in a blind round all that tells who is who, and counts for the right one', async () => {
    const page = await stage.open('#/compare');
    await page.getByLabel('Blind').check();
    const seen = new Set<string>();
    for (let round = 1; seen.size < 2; round += 1) {
      expect(round).toBeLessThan(40);
      stage.server.requests.length = 0;
      await write(page, `round ${round}`);
      await page.getByRole('button', { name: 'Left is better' }).waitFor();
      expect(await names(page)).toEqual(['hidden until you vote', 'hidden until you vote']);
      const shown = await text(page.locator('#answers'));
      expect(shown).not.toMatch(/tokens\/s|starter|little-sage/);
      expect(await page.locator('#answers [class*=tinted]').count()).toBe(0);
      await page.getByRole('button', { name: 'Left is better' }).click();
      await page.getByText(/^Your vote: .* Left was .*, right was .*\.$/).waitFor();
      const [left] = await names(page);
      seen.add(left as string);
      const ballot = stage.server.votes.at(-1);
      expect(ballot?.blind).toBe(true);
      expect(ballot?.[ballot.winner as 'a' | 'b'].name).toBe(left);
      // Now everything is told.
      expect(await text(page.locator('#answers'))).toContain('tokens/s');
    }
  });

  it('takes a prompt that the server keeps, and tells when it cannot be filled in', async () => {
    stage.expectComplaint(/400/);
    const page = await stage.open('#/compare');
    await page.getByLabel('Model of side B').selectOption('starter');
    await page.getByText('Prompt and settings of B').click();
    await page.locator('#compare-b-registered').selectOption('greet');
    expect(await page.getByText('Greets somebody.').isVisible()).toBe(true);
    expect(await page.locator('#compare-b-template').count()).toBe(0);
    await write(page, 'Sister');
    await page.locator('.verdict').waitFor();
    const prompts = stage.server.requests.map((body) => body.prompt);
    expect(prompts.sort()).toEqual(['Dear Sister,', 'Sister']);
    expect(await names(page)).toEqual(['starter', 'starter · @greet']);
    await write(page, 'nobody');
    await page.getByRole('alert').waitFor();
    expect(await text(answer(page, 1))).toContain('greet: who is nobody');
  });

  it('gives each side an input of its own, and asks for what is missing', async () => {
    const page = await stage.open('#/compare');
    await page.getByRole('button', { name: 'Write both' }).click();
    expect(await page.getByText('Give an input first.').isVisible()).toBe(true);
    await page.getByLabel('Two inputs').check();
    await page.getByLabel('Input of A').fill('ink');
    await page.getByRole('button', { name: 'Write both' }).click();
    expect(await page.evaluate('document.activeElement.id')).toBe('compare-b-input');
    expect(stage.server.requests).toEqual([]);
    await page.getByLabel('Input of B').fill('stone');
    await page.keyboard.press('Control+Enter');
    await page.locator('.verdict').waitFor();
    const given = stage.server.requests.map((body) => JSON.stringify(body.prompt ?? body.messages));
    expect(given.sort()).toEqual(['"ink"', '[{"role":"user","content":"stone"}]']);
  });

  it('is the same again from its link, in another browser', async () => {
    const page = await stage.open('#/compare', { permissions: ['clipboard-read', 'clipboard-write'] });
    await page.getByLabel('Model of side A').selectOption('sea-letters');
    await page.getByLabel('Input', { exact: true }).fill('墨 & “ink”');
    await page.getByText('Prompt and settings of A').click();
    await page.locator('#compare-a-maxTokens').fill('9');
    await page.locator('#compare-a-maxTokens').blur();
    await page.getByLabel('Blind').check();
    await page.getByRole('button', { name: 'Copy a link to this comparison' }).click();
    const copied = async () => String(await page.evaluate('navigator.clipboard.readText()'));
    await expect.poll(copied).toContain('#/compare');
    const link = await copied();
    await expect.poll(() => page.url()).toBe(link);
    const other = await stage.open(link.slice(link.indexOf('#')));
    await expect.poll(() => other.getByLabel('Input', { exact: true }).inputValue()).toBe('墨 & “ink”');
    expect(await other.getByLabel('Model of side A').inputValue()).toBe('sea-letters');
    expect(await other.locator('#compare-a-maxTokens').inputValue()).toBe('9');
    expect(await other.getByLabel('Blind').isChecked()).toBe(true);
    // Nonsense in an address harms nobody.
    const odd = await stage.open('#/compare?s=%E0%A4');
    await odd.getByRole('button', { name: 'Write both' }).waitFor();
  });

  it('tells when one side fails, and lets nobody vote on that', async () => {
    stage.expectComplaint(/400/);
    const page = await stage.open('#/compare');
    stage.server.behaviour.error = {
      status: 400,
      code: 'context_length',
      message: 'The prompt is too long.',
    };
    await write(page);
    await page.getByRole('alert').first().waitFor();
    expect(await text(page.getByRole('alert').first())).toContain('The prompt is too long.');
    expect(await page.locator('.verdict').count()).toBe(0);
    stage.server.behaviour.error = undefined;
    await page.getByRole('button', { name: 'Try again' }).first().click();
    await page.locator('.verdict').waitFor();
  });
});
