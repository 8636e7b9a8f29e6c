/** The playground in a real browser: streaming, stopping, tokens, settings, code, errors, conversation. */
import { expect, it } from 'vitest';
import { TEXT } from './fixture-texts.ts';
import { browserSuite, text } from './suite.ts';

browserSuite('playground', (stage) => {
  it('writes at the press of one button on a first visit', async () => {
    const page = await stage.open();
    await page.getByRole('button', { name: 'Watch it write' }).click();
    await page.getByText('reached the length limit').waitFor();
    expect(await page.locator('.welcome').count()).toBe(0);
    expect(await page.locator('#answer .token').count()).toBe(200);
    expect(await text(page.locator('#answer .token-text'))).toContain('the old sailor set down his pen');
    expect(await text(page.locator('[data-figure=tokens]'))).toBe('200 tokens');
    expect(await text(page.locator('[data-figure=rate]'))).toMatch(/^[\d,]+ tokens\/s$/);
    expect(stage.server.requests).toEqual([
      {
        ...{
          model: 'starter',
          prompt: 'It was a dark and stormy evening, and',
          max_tokens: 200,
          logprobs: 5,
        },
        ...{ temperature: 0.8, top_p: 0.95, stream: true, stream_options: { include_usage: true } },
      },
    ]);
    // The introduction stays away.
    await page.reload();
    await page.locator('#prompt').waitFor();
    expect(await page.locator('.welcome').count()).toBe(0);
  });

  it('shows tokens as they come, and a stop hangs up on the server', async () => {
    const page = await stage.open();
    stage.server.behaviour.pause = 250;
    const before = stage.server.hungUp;
    await page.getByLabel('Your beginning').fill('Once');
    await page.keyboard.press('Control+Enter');
    await page.locator('[data-unit="4"]').waitFor();
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await page.getByText('Stopped', { exact: true }).waitFor();
    const kept = await page.locator('#answer .token').count();
    expect(kept).toBeGreaterThan(4);
    expect(kept).toBeLessThan(200);
    await expect.poll(() => stage.server.hungUp).toBe(before + 1);
    expect(await page.locator('#answer .token').count()).toBe(kept);
    // What was written can be gone on with.
    stage.server.behaviour.pause = 1;
    await page.getByRole('button', { name: 'Go on from here' }).click();
    await page.getByText('reached the length limit').waitFor();
    expect(await page.locator('#prompt').inputValue()).toBe(`Once${TEXT.slice(0, kept).join('')}`);
  });

  it('shows what stands behind a token, by pointer, tap and keys', async () => {
    const page = await stage.open();
    await page.getByRole('button', { name: 'Watch it write' }).click();
    await page.getByText('reached the length limit').waitFor();
    const inspector = page.locator('.inspector');
    expect(await inspector.count()).toBe(0);
    await page.locator('[data-unit="6"]').hover();
    expect(await text(inspector)).toContain('55%');
    expect(await text(inspector)).toContain('log-prob -0.598');
    expect(await inspector.locator('li').count()).toBe(5);
    // It can be pointed at itself, and goes with the pointer.
    await inspector.hover();
    expect(await inspector.count()).toBe(1);
    await page.locator('h1').hover();
    await inspector.waitFor({ state: 'detached' });
    // A tap or click keeps it until the next.
    await page.locator('[data-unit="0"]').click();
    await page.locator('h1').hover();
    expect(await inspector.count()).toBe(1);
    await page.keyboard.press('Escape');
    await inspector.waitFor({ state: 'detached' });
    // The text is one stop of the Tab key; arrows go from token to token, and the words are said.
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowRight');
    expect(await page.locator('.token.selected').getAttribute('data-unit')).toBe('1');
    expect(await text(page.locator('.token-text [role=status]'))).toContain('Likeliest at this place');
    await page.keyboard.press('ArrowDown');
    const below = Number(await page.locator('.token.selected').getAttribute('data-unit'));
    expect(below).toBeGreaterThan(10);
    await page.keyboard.press('ArrowUp');
    expect(Number(await page.locator('.token.selected').getAttribute('data-unit'))).toBeLessThan(below);
    await page.keyboard.press('End');
    expect(await page.locator('.token.selected').getAttribute('data-unit')).toBe('199');
    const [card, window] = [await inspector.boundingBox(), page.viewportSize()];
    expect((card?.y ?? 0) + (card?.height ?? 0)).toBeLessThanOrEqual((window?.height ?? 0) + 1);
  });

  it('asks for no probabilities where they are switched off', async () => {
    const page = await stage.open();
    await page.getByLabel('Tint by probability').uncheck();
    await page.getByRole('button', { name: 'Watch it write' }).click();
    await page.getByText('reached the length limit').waitFor();
    expect(stage.server.requests[0]).not.toHaveProperty('logprobs');
    expect(await page.locator('.token-text.tinted').count()).toBe(0);
    expect(await text(page.locator('[data-figure=tokens]'))).toBe('200 tokens');
  });

  it('sends the settings, within their limits, and keeps them', async () => {
    const page = await stage.open();
    await page.getByRole('spinbutton', { name: 'Temperature' }).fill('9');
    await page.getByRole('slider', { name: 'Top-p' }).fill('0.5');
    await page.getByRole('spinbutton', { name: 'Top-k' }).fill('40');
    await page.getByRole('spinbutton', { name: 'Max tokens' }).fill('12');
    await page.getByRole('spinbutton', { name: 'Seed' }).fill('7');
    await page.getByLabel('Stop sequences').fill('\\n\\n\nEND');
    await page.reload();
    await page.getByLabel('Your beginning').fill('x');
    await page.getByRole('button', { name: 'Write', exact: true }).click();
    await page.getByText('reached the length limit').waitFor();
    expect(stage.server.requests[0]).toMatchObject({
      ...{ temperature: 2, top_p: 0.5, top_k: 40, max_tokens: 12, seed: 7, stop: ['\n\n', 'END'] },
    });
    await page.getByRole('button', { name: 'Reset' }).click();
    const temperature = page.getByRole('spinbutton', { name: 'Temperature' });
    await expect.poll(() => temperature.inputValue()).toBe('0.8');
  });

  it('shows the request as code that follows the page', async () => {
    const page = await stage.open();
    await page.getByLabel('Your beginning').fill("It's");
    await page.getByRole('button', { name: 'View as code' }).click();
    const code = page.getByRole('tabpanel');
    expect(await text(code)).toContain(`baseURL: '${stage.server.url}/v1'`);
    expect(await text(code)).toContain("prompt: 'It\\'s'");
    await page.getByRole('tab', { name: 'JavaScript' }).press('ArrowRight');
    expect(await text(code)).toContain('from openai import OpenAI');
    await page.getByRole('tab', { name: 'Python' }).press('ArrowRight');
    expect(await text(code)).toContain(`curl -N ${stage.server.url}/v1/completions`);
    await page.getByLabel('Your beginning').fill('changed');
    expect(await text(code)).toContain('"prompt": "changed"');
    await page.getByRole('button', { name: 'Close' }).click();
    expect(await code.count()).toBe(0);
  });

  it('copies the text', async () => {
    const page = await stage.open('', { permissions: ['clipboard-read', 'clipboard-write'] });
    await page.getByRole('button', { name: 'Watch it write' }).click();
    await page.getByRole('button', { name: 'Copy' }).click();
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    const copied = await page.evaluate('navigator.clipboard.readText()');
    expect(copied).toMatch(/^It was a dark and stormy evening, and the rain/);
  });

  it('waits for a model that loads, with its progress, and stops waiting when asked', async () => {
    stage.expectComplaint(/503/);
    const page = await stage.open();
    stage.server.behaviour.loadingFor = 1000;
    await page.getByRole('button', { name: 'Watch it write' }).click();
    await page.getByRole('progressbar', { name: 'Loading the model' }).waitFor();
    expect(await text(page.locator('.loading-model'))).toContain('starter is being loaded.');
    stage.server.behaviour.loadingFor = 0;
    await page.getByText('reached the length limit').waitFor();
    expect(stage.server.requests.length).toBeGreaterThan(1);
    stage.server.behaviour.loadingFor = 1000;
    await page.getByRole('button', { name: 'Write', exact: true }).click();
    await page.getByRole('progressbar', { name: 'Loading the model' }).waitFor();
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await page.getByText('Stopped', { exact: true }).waitFor();
  });

  it('tells errors with what to do, keeps what came, and tries again', async () => {
    stage.expectComplaint(/400/);
    const page = await stage.open();
    const message = 'The prompt has 300 tokens; this model takes 256.';
    stage.server.behaviour.error = {
      status: 400,
      code: 'context_length',
      message,
      hint: 'Shorten the text.',
    };
    await page.getByRole('button', { name: 'Watch it write' }).click();
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await text(alert)).toMatch(/cannot do this request.*300 tokens.*Shorten the text/s);
    stage.server.behaviour = { pause: 1, loadingFor: 0, breakAfter: 5 };
    await page.getByRole('button', { name: 'Try again' }).click();
    await alert.getByText('The replica ended unexpectedly.').waitFor();
    expect(await page.locator('#answer .token').count()).toBe(5);
    stage.server.behaviour = { pause: 1, loadingFor: 0 };
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('reached the length limit').waitFor();
    expect(await alert.count()).toBe(0);
  });

  it('asks for an API key where the server wants one', async () => {
    stage.expectComplaint(/401/);
    stage.server.behaviour.key = 'sk-right';
    const page = await stage.open();
    await page.getByLabel('API key').fill('sk-right');
    await page.getByRole('button', { name: 'Use this key' }).click();
    await page.getByRole('button', { name: 'Watch it write' }).click();
    await page.getByText('reached the length limit').waitFor();
    await page.getByRole('button', { name: 'View as code' }).click();
    expect(await text(page.getByRole('tabpanel'))).toContain('process.env.INKSTONE_API_KEY');
    // Kept for the tab, never shown.
    expect(await text(page.getByRole('tabpanel'))).not.toContain('sk-right');
  });

  it('says so when there is nothing to write from, and no model', async () => {
    const page = await stage.open();
    await page.getByRole('button', { name: 'Write', exact: true }).click();
    expect(await text(page.getByRole('alert'))).toContain('Write a beginning first');
    expect(await page.evaluate('document.activeElement.id')).toBe('prompt');
    stage.server.behaviour.noModels = true;
    await page.reload();
    await page.getByText('There is no model yet.').waitFor();
    await page.getByRole('link', { name: 'Train a model' }).click();
    await page.getByRole('heading', { name: 'Train', exact: true }).waitFor();
  });

  it('holds a conversation with a chat model', async () => {
    const page = await stage.open('#/playground?model=little-sage');
    await page.getByText('Instructions for the whole conversation').click();
    await page.getByRole('textbox', { name: 'Instructions' }).fill('Be brief.');
    await page.getByLabel('Your message').fill('Hello');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('there');
    await page.keyboard.press('Enter');
    await page.getByText('reached the length limit').waitFor();
    expect(stage.server.requests[0]).toMatchObject({
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hello\nthere' },
      ],
      ...{ logprobs: true, top_logprobs: 5 },
    });
    await page.getByLabel('Your message').fill('And then?');
    await page.keyboard.press('Enter');
    await expect.poll(() => page.locator('.turn').count()).toBe(4);
    await page.getByText('reached the length limit').nth(1).waitFor();
    const sent = stage.server.requests[1] as { messages: { role: string }[] };
    expect(sent.messages.map((message) => message.role)).toEqual(['system', 'user', 'assistant', 'user']);
    // The newest words are in sight.
    expect((await page.locator('.answer-foot').nth(1).boundingBox())?.y).toBeLessThan(900);
    await page.getByRole('button', { name: 'Clear' }).click();
    expect(await page.locator('.turn').count()).toBe(0);
    await page.getByRole('radio', { name: 'Continue a text' }).check();
    await page.getByLabel('Your beginning').waitFor();
  });
});
