/** Tuning from a file in a real browser: the file is looked through, the form checked, the job watched and used. */
import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { browserSuite, text } from './suite.ts';

const file = (name: string, words = 'x'.repeat(500)) => ({
  name,
  mimeType: 'text/plain',
  buffer: Buffer.from(words),
});

async function give(page: Page, name: string): Promise<void> {
  await page.locator('#train-file').setInputFiles(file(name));
  await page.locator('.check-found').waitFor();
}

browserSuite('tune', (stage) => {
  it('tunes on conversations: looks through them, starts the job, watches it, uses the model', async () => {
    const page = await stage.open('#/train');
    await page.getByLabel('Tune a model').check();
    await page.getByRole('heading', { name: 'Tune a model on a file' }).waitFor();
    await page.getByLabel('Model to start from').selectOption('little-sage');
    await give(page, 'butler.jsonl');
    const found = await text(page.locator('.check-found'));
    expect(found).toMatch(/Conversations\s+40\s+Turns\s+80\s+Tokens\s+1,840\s+of them learned\s+920/);
    expect(found).toContain('Every line can be used.');
    expect(found).toContain('2 conversations are longer than the 256 tokens');
    expect(found).toMatch(/User\s+Is the ink dry\?\s+Assistant\s+Dry as a bone/);
    expect(await page.getByLabel('Name', { exact: true }).inputValue()).toBe('butler');
    expect(await page.getByText('“ft:little-sage:inkstone:butler:…”').isVisible()).toBe(true);
    await page.getByLabel('Passes over the file').fill('5');
    await page.getByRole('radio', { name: /Small adapters/ }).check();
    await page.getByRole('button', { name: 'Start tuning' }).click();
    await page.getByRole('heading', { name: 'ft:little-sage:inkstone:butler:0a1b2c3d' }).waitFor();
    expect(stage.server.requests).toEqual([
      {
        ...{ model: 'little-sage', training_file: stage.server.files.at(-1)?.id, suffix: 'butler' },
        method: {
          type: 'supervised',
          supervised: { hyperparameters: { n_epochs: 5, lora_rank: 8 } },
        },
      },
    ]);
    await page.getByText('tuned from little-sage').waitFor();
    await page.locator('.chart svg').waitFor();
    await page.getByText('The model is ready.').waitFor();
    const events = page.locator('.events li');
    await expect.poll(() => text(events.first())).toBe('Finished. The model answers.');
    expect(await text(events.last())).toBe('The job was accepted.');
    expect(await text(page.locator('.events'))).toMatch(/Step 400: validation loss \d\.\d{3}/);
    await page.getByRole('link', { name: 'Use the model' }).click();
    await expect
      .poll(() => page.getByLabel('Model', { exact: true }).inputValue())
      .toBe('ft:little-sage:inkstone:butler:0a1b2c3d');
  });

  it('goes on with plain text under a name of its own', async () => {
    const page = await stage.open('#/train?mode=tune&model=starter');
    await give(page, 'sea.txt');
    expect(await text(page.locator('.check-found'))).toContain('The sea was calm');
    expect(await page.getByLabel('Passes over the file').count()).toBe(0);
    await page.getByLabel('Steps', { exact: true }).fill('30');
    await page.getByText('Batch, learning rate, seed').click();
    await page.getByLabel('Learning rate ×').fill('2');
    await page.getByRole('button', { name: 'Start tuning' }).click();
    await page.getByRole('heading', { name: 'sea', exact: true }).waitFor();
    expect(stage.server.requests[0]).toMatchObject({
      name: 'sea',
      from: 'starter',
      steps: 30,
      learning_rate: 6e-4,
    });
    await page.getByText('tuned from starter').waitFor();
    await page.getByRole('heading', { name: 'Samples' }).waitFor();
  });

  it('names the lines that cannot be used, and sends nothing', async () => {
    const page = await stage.open('#/train?mode=tune');
    await give(page, 'bad.jsonl');
    expect(await text(page.locator('.check-bad'))).toBe(
      '32 of 40 lines cannot be used. Mend them, then choose the file again.',
    );
    expect((await text(page.locator('.check-errors'))).split('\n')).toEqual([
      'Line 3 it is not JSON',
      'Line 9 the last message is not the assistant’s',
      'and 30 more',
    ]);
    await page.getByRole('button', { name: 'Start tuning' }).click();
    expect(await page.evaluate('document.activeElement.id')).toBe('train-file');
    expect(stage.server.requests).toEqual([]);
    // Another file in its place is looked through anew.
    await page.locator('#train-file').setInputFiles(file('good.jsonl'));
    await page.getByText('Every line can be used.').waitFor();
  });

  it('says which characters a model lacks: fatal for a text, not for conversations', async () => {
    const page = await stage.open('#/train?mode=tune');
    await give(page, 'foreign.txt');
    expect(await text(page.locator('.check-found'))).toContain('墨 砚 Choose another model');
    expect(await page.locator('.check-bad').count()).toBe(1);
    await give(page, 'foreign.jsonl');
    await page.getByText('墨 砚 They are left out.').waitFor();
    // Without the words that mark who speaks it could never answer.
    await page.locator('#train-file').setInputFiles(file('mute.jsonl'));
    await page.getByText('it has no tokens for U A of the words').waitFor();
    await page.locator('#train-file').setInputFiles(file('foreign.jsonl'));
    await page.getByText('Every line can be used.').waitFor();
    expect(await page.locator('.check-bad').count()).toBe(0);
  });

  it('checks the form, and can stop a job', async () => {
    stage.server.behaviour.steps = 100_000;
    const page = await stage.open('#/train?mode=tune');
    await page.getByRole('button', { name: 'Start tuning' }).click();
    expect(await page.getByText('Choose a text file first.').isVisible()).toBe(true);
    await give(page, 'butler.jsonl');
    await page.getByLabel('Name', { exact: true }).fill('my butler');
    await page.getByLabel('Passes over the file').fill('none');
    await page.getByRole('button', { name: 'Start tuning' }).click();
    expect(await page.getByText('Use letters, digits, “-” and “_”; at most 64.').isVisible()).toBe(true);
    expect(await page.getByText('Number of at least 1.').isVisible()).toBe(true);
    await page.getByLabel('Name', { exact: true }).fill('butler');
    await page.getByLabel('Passes over the file').fill('1');
    await page.getByRole('button', { name: 'Start tuning' }).click();
    await page.getByRole('button', { name: 'Stop tuning' }).click();
    await expect.poll(() => text(page.locator('.events li').first())).toBe('Stopped.');
    // What was not finished does not answer.
    expect(await page.getByRole('link', { name: 'Use the model' }).count()).toBe(0);
  });

  it('tells what the server refuses to look through', async () => {
    stage.expectComplaint(/422|500/);
    const page = await stage.open('#/train?mode=tune');
    await page.route('**/check?*', (route) =>
      route.fulfill({
        status: 422,
        json: { error: { code: 'file_too_large', message: 'the file has 99 MiB, 32 are looked through' } },
      }),
    );
    await page.locator('#train-file').setInputFiles(file('huge.jsonl'));
    await page.getByRole('alert').waitFor();
    expect(await text(page.getByRole('alert'))).toContain('99 MiB');
    await page.unroute('**/check?*');
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('Every line can be used.').waitFor();
  });

  it('goes on from a model of pictures: several pictures in one archive, layers kept, a sheet that grows', async () => {
    const page = await stage.open('#/train?mode=tune');
    await page.getByLabel('Model to start from').selectOption('icons');
    await page.getByText('goes on learning from a few dozen pictures').waitFor();
    await page.getByRole('button', { name: 'Start tuning' }).click();
    expect(await page.getByText('Choose pictures first.').isVisible()).toBe(true);
    expect(await page.evaluate('document.activeElement.id')).toBe('train-file');
    const picture = (name: string) => ({ ...file(name), mimeType: 'image/png' });
    await page.locator('#train-file').setInputFiles([picture('one.png'), picture('two.png')]);
    await page.getByText('Uploaded:').waitFor();
    // Two headers, two files of a block each, and the end of the archive.
    expect(stage.server.files.at(-1)).toMatchObject({ name: 'pictures.tar', bytes: 6 * 512 });
    await page.getByLabel('Name', { exact: true }).fill('my-icons');
    await page.getByLabel('Steps', { exact: true }).fill('200');
    await page.getByText('Layers that stay as they are: 2 of 5').click();
    expect(await page.getByLabel('critic.size64').isChecked()).toBe(true);
    await page.getByLabel('critic.score').check();
    await page.getByRole('button', { name: 'Start tuning' }).click();
    await page.getByText('Each network must have a layer that learns.').waitFor();
    await page.getByLabel('critic.score').uncheck();
    await page.getByLabel('generator.size4').check();
    await page.getByLabel('Vary the pictures').uncheck();
    await page.getByRole('button', { name: 'Start tuning' }).click();
    await page.getByRole('heading', { name: 'my-icons' }).waitFor();
    expect(stage.server.requests).toEqual([
      {
        ...{ name: 'my-icons', file: stage.server.files.at(-1)?.id, from: 'icons', steps: 200 },
        freeze: ['critic.picture', 'critic.size64', 'generator.size4'],
        augment: 'none',
      },
    ]);
    await page.getByText('tuned from icons').waitFor();
    await page.getByText('The model is ready.').waitFor();
    await page.getByAltText('Sample sheet after step 200').waitFor();
    await page.getByRole('link', { name: 'Use the model' }).click();
    await page.getByRole('heading', { name: 'Images' }).waitFor();
  });

  it('is offered where a model of pictures is shown, in Chinese too; a denoiser has no critic', async () => {
    const page = await stage.open('#/models/denoiser');
    await page.getByRole('link', { name: 'Tune' }).click();
    await page.getByText('Layers that stay as they are: 0 of 2').waitFor();
    expect(await page.getByLabel('Vary the pictures').count()).toBe(0);
    await page.getByLabel('Model to start from').selectOption('starter-digits');
    await page.getByLabel('Vary the pictures').waitFor();
    await page.getByLabel('Model to start from').selectOption('little-sage');
    await page.getByLabel('Passes over the file').waitFor({ state: 'detached' });
    await page.getByText('a way of writing from plain text').waitFor();
    const chinese = await stage.open('#/train?mode=tune&model=icons', { locale: 'zh-CN' });
    await chinese.getByText('让已有的图像模型继续从您的几十张图片学习。').waitFor();
    expect(await chinese.getByText('保持不变的层：5 层中的 2 层').isVisible()).toBe(true);
  });
});
