import { describe, expect, it } from 'vitest';
import type { PictureModel } from '../api/types.ts';
import { startingForm, toRequest, wrongFields } from './picture-form.ts';

const model = (tuning: PictureModel['pictures']['tuning']): PictureModel => ({
  ...{ id: 'icons', family: 'image', parameters: 1, context: 0, created: 0, chat: false },
  ...{ state: 'ready', source: 'run', card: '' },
  pictures: {
    ...{ architecture: 'gan', size: 28, channels: 1, classes: [], styles: 0, between: true },
    ...{ edits: false, masks: false, steps: 0, tuning },
  },
});
const pair = model({
  layers: ['generator.start', 'generator.picture', 'critic.picture', 'critic.score'],
  ...{ early: ['critic.picture'], augments: true },
});
const alone = model({ layers: ['down4', 'last'], early: [], augments: false });
const form = { ...startingForm(pair), file: { id: 'f1', name: 'mine.zip' }, name: 'mine' };

describe('the form for pictures', () => {
  it('begins with what is best kept, and sends only what is chosen', () => {
    expect(form.frozen).toEqual(['critic.picture']);
    expect(toRequest(form, pair)).toEqual({
      ...{ name: 'mine', file: 'f1', from: 'icons', freeze: ['critic.picture'] },
    });
    const all = { ...form, steps: '20', batch: ' 4', seed: '7', frozen: [], varied: false };
    expect(toRequest(all, pair)).toEqual({
      ...{ name: 'mine', file: 'f1', from: 'icons' },
      ...{ steps: 20, batch_size: 4, seed: 7, augment: 'none' },
    });
    // There is no critic whose pictures could be varied.
    expect(toRequest({ ...all, steps: '', batch: '', seed: '' }, alone)).toEqual({
      ...{ name: 'mine', file: 'f1', from: 'icons' },
    });
  });

  it('names what is wrong, in the order of the page', () => {
    expect(wrongFields(form, pair)).toEqual([]);
    expect(wrongFields(startingForm(pair), pair)).toEqual(['file', 'name']);
    const bad = { ...form, name: '../x', steps: '0', batch: '1', seed: '-1' };
    expect(wrongFields(bad, pair)).toEqual(['name', 'steps', 'batch', 'seed']);
    expect(wrongFields({ ...form, batch: '2.5', steps: 'ten' }, pair)).toEqual(['steps', 'batch']);
  });

  it('leaves each network something to learn', () => {
    const frozen = ['critic.picture', 'critic.score'];
    expect(wrongFields({ ...form, frozen }, pair)).toEqual(['frozen']);
    expect(wrongFields({ ...form, frozen: ['generator.start', 'critic.score'] }, pair)).toEqual([]);
    expect(wrongFields({ ...form, frozen: ['down4', 'last'] }, alone)).toEqual(['frozen']);
    expect(wrongFields({ ...form, frozen: ['down4'] }, alone)).toEqual([]);
  });
});
