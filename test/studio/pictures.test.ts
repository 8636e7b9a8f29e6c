/** The room of pictures in a real browser: sliders, the grid, mixing, ways, changing; and a training of pictures, live. */
import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { browserSuite, text } from './suite.ts';

const tiles = (page: Page) => page.locator('.pictures-make .picture-tile');
const chosenFacts = (page: Page) => page.locator('.chosen-picture').first().locator('.picture-facts');

async function slide(page: Page, name: string, value: string): Promise<void> {
  await page.getByRole('slider', { name, exact: true }).fill(value);
}

browserSuite('pictures', (stage) => {
  const last = () => stage.server.requests.at(-1);

  it('makes pictures at once, and others as the sliders move', async () => {
    const page = await stage.open('#/images');
    await tiles(page).first().waitFor();
    expect(await tiles(page).count()).toBe(16);
    expect(stage.server.requests).toEqual([
      { route: 'generations', model: 'starter-digits', prompt: '', n: 16, seed: 1, output_format: 'png' },
    ]);
    expect(await page.getByRole('option', { name: 'Seed 3, class 2' }).count()).toBe(1);
    await slide(page, 'Class', '7');
    await expect.poll(last).toMatchObject({ label: '7' });
    await expect.poll(() => page.getByRole('option', { name: 'Seed 3, class 7' }).count()).toBe(1);
    await slide(page, 'Truncation', '0.5');
    await expect.poll(last).toMatchObject({ label: '7', truncation: 0.5 });
    await slide(page, 'How many', '4');
    await expect.poll(() => tiles(page).count()).toBe(4);
    await slide(page, 'Size of the files', '4');
    await expect.poll(last).toMatchObject({ size: '112x112', n: 4 });
    await page.getByRole('spinbutton', { name: 'Seed' }).fill('123456789');
    await page.getByRole('spinbutton', { name: 'Seed' }).blur();
    await page.getByRole('option', { name: 'Seed 123456789, class 7' }).waitFor();
    await page.getByLabel('File format').selectOption('webp');
    await expect.poll(last).toMatchObject({ output_format: 'webp' });
    // All of it is found again after a reload.
    await page.reload();
    await page.getByRole('option', { name: 'Seed 123456789, class 7' }).waitFor();
    await page.getByRole('button', { name: 'Reset' }).click();
    await expect.poll(() => tiles(page).count()).toBe(16);
    const before = last()?.seed;
    await page.getByRole('button', { name: 'Other pictures' }).click();
    await expect.poll(() => last()?.seed).not.toBe(before);
  });

  it('shows one large, by keys and by pointer, and hands it over as a file', async () => {
    const page = await stage.open('#/images');
    await tiles(page).first().waitFor();
    await tiles(page).nth(2).click();
    expect(await text(chosenFacts(page))).toMatch(/Seed\s+3\s+Class\s+2\s+Truncation\s+1\.00/);
    await page.keyboard.press('ArrowRight');
    expect(await page.evaluate('document.activeElement.getAttribute("aria-selected")')).toBe('true');
    await expect.poll(() => text(chosenFacts(page))).toMatch(/Seed\s+4/);
    await page.keyboard.press('End');
    await expect.poll(() => text(chosenFacts(page))).toMatch(/Seed\s+16/);
    await page.keyboard.press('ArrowUp');
    await expect.poll(() => text(chosenFacts(page))).not.toMatch(/Seed\s+16\b/);
    await page.keyboard.press('Home');
    await expect.poll(() => text(chosenFacts(page))).toMatch(/Seed\s+1\b/);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Download' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe('starter-digits-seed1-0.png');
    const about = await sharp(await readFile(await download.path())).metadata();
    expect([about.width, about.format]).toEqual([28, 'png']);
  });

  it('mixes styles by dragging, by keys, by buttons and by seed', async () => {
    // High enough that nothing scrolls while something is dragged.
    const page = await stage.open('#/images?model=icons', { viewport: { width: 1280, height: 1700 } });
    await tiles(page).first().waitFor();
    await tiles(page).nth(4).dragTo(tiles(page).nth(1));
    await page.getByText('Mixed: the shape of seed 2, the finish of seed 5.').waitFor();
    await expect.poll(last).toMatchObject({ seed: 2, mix_seed: 5, mix_layer: 4, n: 1 });
    await page.getByRole('heading', { name: 'Mixed picture' }).waitFor();
    await slide(page, 'Layer where they meet', '7');
    await expect.poll(last).toMatchObject({ mix_layer: 7 });
    // With the keyboard alone.
    await tiles(page).nth(0).click();
    await page.keyboard.press('m');
    await page.getByText('Seed 1 is picked up.').waitFor();
    await page.keyboard.press('Escape');
    expect(await page.getByText('Seed 1 is picked up.').count()).toBe(0);
    await page.keyboard.press('m');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('m');
    await page.getByText('Mixed: the shape of seed 3, the finish of seed 1.').waitFor();
    await page.getByRole('button', { name: 'Take its finish' }).click();
    await page.getByText('Mixed: the shape of seed 3, the finish of seed 3.').waitFor();
    await page.getByLabel('Shape of seed').fill('99');
    await expect.poll(last).toMatchObject({ seed: 99, mix_seed: 3 });
    await page.getByLabel('Shape of seed').fill('ninety');
    await page.getByText('Whole number from 0.').waitFor();
    // A slot takes a picture that is dropped on it.
    await tiles(page).nth(6).dragTo(page.locator('.mix-end').first());
    await expect.poll(last).toMatchObject({ seed: 7, mix_seed: 3 });
    expect(await page.getByLabel('Shape of seed').inputValue()).toBe('7');
  });

  it('goes from picture to picture, plays, and saves the way', async () => {
    const page = await stage.open('#/images');
    await tiles(page).first().waitFor();
    await tiles(page).nth(8).click();
    await page.getByRole('button', { name: 'Add to the way' }).click();
    await tiles(page).nth(2).click();
    await page.getByRole('button', { name: 'Add to the way' }).click();
    await page.getByText('On the way: 9, 3.').waitFor();
    await page.getByRole('link', { name: 'Show the way' }).click();
    expect(await page.getByLabel('Seeds on the way').inputValue()).toBe('9, 3');
    await page.getByText('Picture 1 of 48').waitFor();
    expect(last()).toMatchObject({
      ...{ route: 'interpolations', seeds: [9, 3], frames: 24, label: '2', output_format: 'png' },
    });
    // Motion is unwelcome here: nothing plays by itself.
    const place = page.getByRole('slider', { name: 'Place on the way' });
    await place.press('End');
    expect(await place.getAttribute('aria-valuetext')).toBe('Picture 48 of 48');
    expect(await page.locator('.player-screen img.now').count()).toBe(1);
    await page.getByRole('button', { name: 'Play' }).click();
    await expect.poll(() => place.getAttribute('aria-valuetext')).not.toBe('Picture 48 of 48');
    await page.getByRole('button', { name: 'Pause' }).click();
    await slide(page, 'Pictures a second', '20');
    for (const kind of ['WebP', 'GIF']) {
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('button', { name: `Save as ${kind}` }).click(),
      ]);
      expect(download.suggestedFilename()).toBe(`starter-digits-way-9-3.${kind.toLowerCase()}`);
      expect(last()).toMatchObject({ output_format: kind.toLowerCase(), delay: 50, seeds: [9, 3] });
    }
    await page.getByLabel('Seeds on the way').fill('9, three');
    await page.getByText('Give 2 to 16 whole numbers').waitFor();
    expect(await page.getByRole('button', { name: 'Save as GIF' }).isDisabled()).toBe(true);
    await page.getByLabel('Seeds on the way').fill('1 2 3 4 5 6 7 8 9');
    await slide(page, 'Pictures a stretch', '60');
    await page.getByText('At most 480 pictures in all').waitFor();
  });

  it('changes a picture where it is painted over, by pointer and by keys', async () => {
    const page = await stage.open('#/images?model=denoiser&view=edit');
    await page.getByRole('button', { name: 'Change it' }).click();
    await page.getByText('Give a picture first.').waitFor();
    const noPicture = { name: 'a.png', mimeType: 'image/png', buffer: Buffer.from('no picture') };
    await page.locator('#edit-file').setInputFiles(noPicture);
    await page.getByText('This file is no picture').waitFor();
    const grey = await sharp({ create: { width: 40, height: 40, channels: 3, background: '#888' } })
      .png()
      .toBuffer();
    await page.locator('#edit-file').setInputFiles({ ...noPicture, buffer: grey });
    await page.getByText('the whole picture changes').waitFor();
    await page.getByRole('button', { name: 'Change it' }).click();
    await page.locator('.picture-tile').first().waitFor();
    expect(last()).toMatchObject({
      route: 'edits',
      model: 'denoiser',
      n: '16',
      strength: '0.6',
      steps: '50',
    });
    expect(last()?.mask).toBeUndefined();
    expect(last()?.image).toEqual(grey);
    // Eleven pixels across the upper left corner, by mouse.
    const box = await page.locator('#mask').boundingBox();
    const at = (part: number) => [(box?.x ?? 0) + (box?.width ?? 0) * part, (box?.y ?? 0) + 2] as const;
    await slide(page, 'Brush', '1');
    await page.mouse.move(...at(0.5 / 32));
    await page.mouse.down();
    await page.mouse.move(...at(10.5 / 32), { steps: 2 });
    await page.mouse.up();
    await page.getByText('1.1% of the picture').waitFor();
    // One more, by keys: the brush stands where it was left.
    await page.locator('#mask').press('ArrowDown');
    await page.locator('#mask').press('Space');
    await page.getByText('Column 11, row 2: made anew').waitFor();
    await page.getByText('1.2% of the picture').waitFor();
    await slide(page, 'Strength', '0.9');
    await page.getByRole('button', { name: 'Change it' }).click();
    await expect.poll(() => last()?.mask).toBeDefined();
    expect(last()).toMatchObject({ strength: '0.9' });
    const mask = await sharp(last()?.mask as Buffer)
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect([mask.info.width, mask.info.channels]).toEqual([32, 4]);
    const clear = Array.from({ length: 32 * 32 }, (_, i) => i).filter((i) => mask.data[i * 4 + 3] === 0);
    expect(clear).toEqual([...Array.from({ length: 11 }, (_, i) => i), 32 + 10]);
    await page.locator('#mask').press('Delete');
    await page.getByText('1.1% of the picture').waitFor();
    await page.getByRole('button', { name: 'Wipe' }).click();
    await page.getByText('the whole picture changes').waitFor();
  });

  it('takes a picture of the grid to be changed, and asks for denoising only when told', async () => {
    const page = await stage.open('#/images?model=denoiser');
    await page.getByText('Press “Make pictures”.').waitFor();
    expect(stage.server.requests).toEqual([]);
    await slide(page, 'Denoising steps', '20');
    await slide(page, 'Guidance', '3');
    await slide(page, 'Fresh noise', '0.25');
    expect(await page.getByLabel('Enlarge smoothly').count()).toBe(0);
    await slide(page, 'Size of the files', '3');
    await page.getByLabel('Enlarge smoothly').check();
    await page.getByRole('button', { name: 'Make pictures' }).click();
    await tiles(page).first().waitFor();
    expect(last()).toMatchObject({ steps: 20, guidance: 3, eta: 0.25, upscale: 3 });
    expect(last()?.size).toBeUndefined();
    expect(last()?.truncation).toBeUndefined();
    await page.getByRole('link', { name: 'Change this one' }).click();
    await page.locator('#mask img').waitFor();
    await page.getByText('or take the chosen one').waitFor();
  });

  it('waits for a model that is being loaded, and tells what the server refuses', async () => {
    stage.expectComplaint(/50[03]|400/);
    stage.server.behaviour.loadingFor = 1000;
    const page = await stage.open('#/images');
    await page.getByText('starter is being loaded.').waitFor();
    stage.server.behaviour.loadingFor = 0;
    await tiles(page).first().waitFor();
    const error = {
      status: 400,
      code: 'unsupported_setting',
      message: 'not with this model',
      hint: 'take another',
    };
    stage.server.behaviour.error = error;
    await page.getByRole('button', { name: 'Other pictures' }).click();
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await text(alert)).toMatch(/not with this model\s+take another/);
    // What was made before is still there.
    expect(await tiles(page).count()).toBe(16);
    stage.server.behaviour.error = undefined;
    await page.getByRole('button', { name: 'Try again' }).click();
    await alert.waitFor({ state: 'detached' });
  });

  it('says so where there is no such model, and leads to the training of one', async () => {
    stage.server.behaviour.noPictures = true;
    const page = await stage.open('#/images');
    await page.getByText('There is no model of pictures yet.').waitFor();
    await page.getByRole('link', { name: 'Train a model' }).click();
    await page.getByRole('heading', { name: 'A new model of pictures' }).waitFor();
  });

  it('lists them beside the models that write, which other rooms do not offer', async () => {
    const page = await stage.open('#/models/icons');
    await page.getByRole('heading', { name: 'icons' }).waitFor();
    expect(await text(page.locator('.split-detail .facts'))).toMatch(/64 × 64, colour/);
    await page.getByRole('link', { name: 'Make pictures' }).click();
    expect(await page.getByLabel('Image model').inputValue()).toBe('icons');
    for (const room of ['playground', 'inspect', 'compare']) {
      await page.goto(`${stage.server.url}/#/${room}`);
      await page.locator('select').first().waitFor();
      expect(await page.locator('option', { hasText: 'starter-digits' }).count(), room).toBe(0);
    }
  });

  it('trains on pictures, shown as a curve and a growing sheet, to a model that makes them', async () => {
    const page = await stage.open('#/train?mode=pictures');
    await page.getByRole('button', { name: 'Start training' }).click();
    await page.getByText('Choose an archive of pictures first.').waitFor();
    const zip = { name: 'My Cats.zip', mimeType: 'application/zip', buffer: Buffer.from('PK pretended') };
    await page.locator('#train-file').setInputFiles(zip);
    await page.getByText('Uploaded:').waitFor();
    expect(await page.getByLabel('Name').inputValue()).toBe('my-cats');
    await page.getByRole('radio', { name: /Icons/ }).check();
    expect(await page.getByRole('radio', { name: /quarter of an hour/ }).count()).toBe(0);
    await page.getByLabel('Pixels a side').fill('18');
    await page.getByRole('button', { name: 'Start training' }).click();
    await page.getByText('Take 3 to 7 times a power of two').waitFor();
    await page.getByLabel('Pixels a side').fill('32');
    await page.getByLabel('In colour').check();
    await page.getByText('Game, variety, steps and seed').click();
    await page.getByLabel('Steps', { exact: true }).fill('400');
    await page.getByLabel('Game of the two networks').selectOption('hinge');
    await page.getByLabel('Mirror pictures at random').check();
    await page.getByLabel('Cut away at most (%)').fill('60');
    await page.getByLabel('Change colours by at most (%)').fill('20');
    await page.getByRole('button', { name: 'Start training' }).click();
    await page.getByText('Number from 0 to 50.').waitFor();
    await page.getByLabel('Cut away at most (%)').fill('12.5');
    const sent = page.waitForRequest(
      (request) => request.url().endsWith('/api/trainings') && request.method() === 'POST',
    );
    await page.getByRole('button', { name: 'Start training' }).click();
    expect((await sent).postDataJSON()).toMatchObject({
      ...{ size: 32, colour: true, steps: 400 },
      ...{ loss: 'hinge', flip: true, crop: 0.125, jitter: 0.2 },
    });
    await page.getByText('The model is ready.').waitFor();
    await page.getByText('At step 150 the training went astray; it went back to step 100').waitFor();
    expect(stage.server.trainings.at(-1)).toMatchObject({ preset: 'icons-stylegan2', family: 'image' });
    expect(await page.locator('.chart svg').getAttribute('aria-label')).toContain(
      '4 judgements up to step 400',
    );
    expect(await text(page.locator('.figures-large'))).toMatch(
      // The best is the one that was kept, whatever else was judged.
      /Distance \(fid_pixels\)\s+32\.8\d\s+Best\s+33\.8\d\s+Pixels by now\s+32 × 32/,
    );
    await page.getByText('Show as a table').click();
    await expect.poll(() => page.locator('.chart-table tbody tr').count()).toBe(4);
    const sheet = page.locator('.sheets-picture');
    await page.getByAltText('Sample sheet after step 400').waitFor();
    const newest = await sheet.getAttribute('src');
    await page.getByRole('slider', { name: 'Sheet of step' }).press('Home');
    await page.getByAltText('Sample sheet after step 100').waitFor();
    await expect.poll(() => sheet.getAttribute('src')).not.toBe(newest);
    await page.getByRole('link', { name: 'Use the model' }).click();
    expect(await page.getByLabel('Image model').inputValue()).toBe('my-cats');
    await tiles(page).first().waitFor();
  });
});
