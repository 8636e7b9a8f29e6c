/** Training in a real browser: the form, the live view, stopping, reloading, failing, using the model. */
import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { browserSuite, text } from './suite.ts';

const TEXT = {
  name: 'Sea Letters.txt',
  mimeType: 'text/plain',
  buffer: Buffer.from('Dear sister, '.repeat(900)),
};

async function begin(page: Page, name: string, steps: string): Promise<void> {
  await page.locator('#train-file').setInputFiles(TEXT);
  await page.getByText('Uploaded:').waitFor();
  await page.getByLabel('Name').fill(name);
  await page.getByText('Steps and seed').click();
  await page.getByLabel('Steps', { exact: true }).fill(steps);
  await page.getByRole('button', { name: 'Start training' }).click();
  await page.getByRole('heading', { name, exact: true }).waitFor();
}

browserSuite('train', (stage) => {
  it('trains from a file to a model that answers', async () => {
    const page = await stage.open('#/train');
    await page.getByRole('radio', { name: /A quarter of an hour/ }).check();
    await begin(page, 'letters', '400');
    const job = stage.server.trainings.at(-1);
    expect(job).toMatchObject({ name: 'letters', preset: 'shakespeare-15min', steps: 400 });
    expect(stage.server.files.at(-1)).toMatchObject({ name: 'Sea Letters.txt', bytes: TEXT.buffer.length });
    await page.locator('.chart svg').waitFor();
    // Shown only until the next sample comes: on a busy machine that is before anybody looks.
    await page.getByText('After step 100').first().waitFor({ state: 'attached' });
    await page.getByText('The model is ready.').waitFor();
    expect(await text(page.locator('.figures-large'))).toMatch(/400 \/ 400/);
    expect(await page.locator('.chart svg').getAttribute('aria-label')).toContain('40 points up to step 400');
    expect(await text(page.locator('.sample').first())).toContain('After step 400');
    // The chart is read with the arrow keys, and is a table as well.
    const reader = page.getByRole('slider', { name: 'Step to read off the chart' });
    await reader.press('ArrowLeft');
    expect(await reader.getAttribute('aria-valuetext')).toMatch(/^Step 390: training \d\.\d{3}$/);
    await reader.press('End');
    expect(await text(page.locator('.chart-reading'))).toMatch(/^Step 400: training .*, validation /);
    await page.getByText('Show as a table').click();
    await page.locator('.chart-table tbody tr').first().waitFor({ state: 'attached' });
    expect(await page.locator('.chart-table tbody tr').count()).toBe(40);
    await page.getByRole('link', { name: 'Use the model' }).click();
    await page.getByLabel('Your beginning').fill('Dear');
    await page.getByRole('button', { name: 'Write', exact: true }).click();
    await page.getByText('reached the length limit').waitFor();
    expect(stage.server.requests[0]).toMatchObject({ model: 'letters', prompt: 'Dear' });
  });

  it('stops early, keeps the model, and lists the training', async () => {
    const page = await stage.open('#/train');
    await begin(page, 'stopped-early', '100000');
    await page.locator('.chart svg').waitFor();
    await page.getByRole('button', { name: 'Stop and keep the model' }).click();
    await page.getByText('Stopped early').waitFor();
    await page.getByRole('link', { name: 'Use the model' }).waitFor();
    await page.getByRole('link', { name: 'All trainings' }).click();
    const row = page.getByRole('link', { name: /stopped-early/ });
    expect(await text(row)).toContain('stopped');
  });

  it('shows the whole history again after a reload and after a broken line', async () => {
    const page = await stage.open('#/train');
    await begin(page, 'long', '100000');
    const job = stage.server.trainings.at(-1);
    await expect.poll(() => job?.step).toBeGreaterThan(200);
    await page.reload();
    await page.locator('.chart svg').waitFor();
    const points = async () =>
      Number(/(\d+) points/.exec((await page.locator('.chart svg').getAttribute('aria-label')) ?? '')?.[1]);
    const found = await points();
    expect(found).toBeGreaterThanOrEqual(20);
    job?.cutLines();
    stage.expectComplaint(/ERR_INCOMPLETE_CHUNKED_ENCODING/);
    await expect.poll(points).toBeGreaterThan(found + 20);
    job?.end('cancelled');
    await page.getByText('Stopped early').waitFor();
  });

  it('tells a failed training with its hint', async () => {
    const page = await stage.open('#/train');
    await begin(page, 'diverges', '100000');
    const error = {
      code: 'loss_nan',
      message: 'The loss became NaN at step 40.',
      hint: 'Lower the learning rate.',
    };
    stage.server.trainings.at(-1)?.end('failed', error);
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await text(alert)).toMatch(/This training failed.*NaN at step 40.*Lower the learning rate/s);
    expect(await page.getByRole('link', { name: 'Use the model' }).count()).toBe(0);
  });

  it('checks the form before anything is sent', async () => {
    const page = await stage.open('#/train');
    const before = stage.server.trainings.length;
    await page.getByRole('button', { name: 'Start training' }).click();
    expect(await page.getByText('Choose a text file first.').isVisible()).toBe(true);
    expect(await page.evaluate('document.activeElement.id')).toBe('train-file');
    await page.locator('#train-file').setInputFiles({ ...TEXT, buffer: Buffer.alloc(0) });
    await page.getByText('This file is empty.').waitFor();
    await page.locator('#train-file').setInputFiles(TEXT);
    await page.getByText('Uploaded:').waitFor();
    expect(await page.getByLabel('Name').inputValue()).toBe('sea-letters');
    await page.getByLabel('Name').fill('../etc');
    await page.getByText('Steps and seed').click();
    await page.getByLabel('Steps', { exact: true }).fill('ten');
    await page.getByRole('button', { name: 'Start training' }).click();
    expect(await page.getByText('Use letters, digits').isVisible()).toBe(true);
    expect(await page.getByText('Whole number of at least 1.').isVisible()).toBe(true);
    expect(stage.server.trainings.length).toBe(before);
  });

  it('shows what the server refuses: a file, a name', async () => {
    stage.expectComplaint(/4(22|09)/);
    const page = await stage.open('#/train');
    await page.locator('#train-file').setInputFiles({ ...TEXT, name: 'picture.png' });
    expect(await text(page.getByRole('alert'))).toContain('Choose a text file in UTF-8.');
    await begin(page, 'twice', '10');
    await page.getByRole('link', { name: 'All trainings' }).click();
    await page.getByLabel('or take one you gave before').selectOption({ index: 1 });
    await page.getByLabel('Name').fill('twice');
    await page.getByRole('button', { name: 'Start training' }).click();
    await page.getByText('A model named twice exists already.').waitFor();
  });

  it('says so when the training is not there', async () => {
    stage.expectComplaint(/404/);
    const page = await stage.open('#/train/nothing');
    await page.getByRole('alert').waitFor();
    await page.getByRole('link', { name: 'All trainings' }).click();
    await page.getByRole('heading', { name: 'A new model' }).waitFor();
  });

  it('takes a file that is dropped', async () => {
    const page = await stage.open('#/train');
    const data = await page.evaluateHandle(
      "(() => { const data = new DataTransfer(); data.items.add(new File(['words '.repeat(99)], 'dropped.txt')); return data; })()",
    );
    await page.locator('.drop-area').dispatchEvent('drop', { dataTransfer: data });
    await page.getByText('Uploaded:').waitFor();
    expect(await page.getByLabel('Name').inputValue()).toBe('dropped');
  });
});
