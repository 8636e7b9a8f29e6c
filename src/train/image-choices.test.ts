/** What may be chosen beside a preset: where it ends up, and what is refused with a way out. */
import { describe, expect, it } from 'vitest';
import type { ImageConfig } from '../models/image/any.ts';
import { type ImagePreset, imagePreset, imagePresets } from '../models/image/presets.ts';
import { type ImageChoices, imageChoices, withChoices } from './image-choices.ts';

const chosen = (preset: string, choices: ImageChoices) =>
  withChoices(imagePreset(preset), imageChoices.parse(choices));

describe('what is chosen', () => {
  it('stands in the model, in the training and in the labels; the rest is the preset’s', () => {
    const plan = chosen('mnist-gan', {
      ...{ size: 64, colour: true, labels: true, loss: 'hinge', conditioning: 'concatenation', flip: true },
    });
    const { model, training } = imagePreset('mnist-gan') as ImagePreset & { model: ImageConfig };
    expect(plan.model).toMatchObject({ ...model, size: 64, channels: 3, conditioning: 'concatenation' });
    expect(plan.training).toMatchObject({ ...training, loss: 'hinge', flip: true });
    expect(plan.labels).toBe(true);
    expect(chosen('mnist-cgan', { labels: false, colour: false })).toMatchObject({
      ...{ labels: false, model: { channels: 1, size: 28 }, training: { loss: 'non-saturating' } },
    });
  });

  it('every preset that stands alone may be of every size, grey or colour', () => {
    for (const { id, model } of imagePresets.filter(({ model }) => model.architecture !== 'latent-ddpm'))
      for (const size of [16, 28, 32, 48, 64, 96, 128])
        expect([id, chosen(id, { size, colour: true }).model]).toMatchObject([
          id,
          { architecture: model.architecture, size, channels: 3 },
        ]);
    // A latent map stays the quarter of the picture that it was.
    expect(chosen('mnist-vae-map', { size: 64 }).model).toMatchObject({ map: 16, latent: 4 });
  });

  it('with the slope penalty there is no R1, unless it is asked for', () => {
    expect(chosen('mnist-cgan', { loss: 'wgan-gp' }).training).toMatchObject({ r1: { weight: 0 } });
    const both = chosen('mnist-cgan', { loss: 'wgan-gp', set: ['training.r1.weight=2'] });
    expect(both.training).toMatchObject({ r1: { weight: 2, every: 16 }, loss: 'wgan-gp' });
  });

  it('by its place reaches everything, as the type that it has', () => {
    const set = ['model.prediction=noise', 'model.schedule=linear', 'training.schedule.warmup=7'];
    expect(chosen('mnist-ddpm', { set })).toMatchObject({
      model: { prediction: 'noise', schedule: 'linear' },
      training: { schedule: { name: 'linear', warmup: 7 } },
    });
    const game = ['training.criticSteps=5', 'training.augment.name=ada', 'training.augment.kinds=["blit"]'];
    expect(chosen('mnist-gan', { set: game }).training).toMatchObject({
      ...{ criticSteps: 5, augment: { name: 'ada', kinds: ['blit'], target: 0.6 } },
    });
  });
});

describe('what is refused', () => {
  it.each<[string, ImageChoices, string, string]>([
    ['mnist-gan', { size: 18 }, 'image_size', '16, 28, 32, 64, 128'],
    ['mnist-vae', { loss: 'hinge' }, 'unsupported_setting', 'leave loss out'],
    ['mnist-ddpm', { loss: 'lsgan' }, 'unsupported_setting', 'leave loss out'],
    ['mnist-vae', { labels: true }, 'unsupported_setting', 'leave labels out'],
    ['mnist-latent-ddpm', { size: 32 }, 'unsupported_setting', 'train the autoencoder with this size'],
    ['mnist-latent-ddpm', { colour: true }, 'unsupported_setting', 'train the autoencoder with this size'],
    ['mnist-stylegan2', { conditioning: 'projection' }, 'unsupported_setting', 'plain GANs'],
    ['mnist-gan', { conditioning: 'projection' }, 'unsupported_setting', 'add labels'],
    ['mnist-cgan', { conditioning: 'projection', labels: false }, 'unsupported_setting', 'add labels'],
    ['mnist-gan', { set: ['training.r1.wieght=4'] }, 'setting_unknown', 'training.r1.weight?'],
    ['mnist-gan', { set: ['training.prediction=v'] }, 'setting_unknown', 'loss'],
    ['mnist-gan', { set: ['r1=4'] }, 'setting_unknown', 'training.r1.weight=4'],
    ['mnist-gan', { set: ['nothing.at.all=4'] }, 'setting_unknown', 'training.r1.weight=4'],
    ['mnist-gan', { set: ['model.__proto__.x=4'] }, 'setting_unknown', 'training.r1.weight=4'],
    ['mnist-gan', { set: ['model.size=200'] }, 'setting_elsewhere', 'size'],
    ['mnist-gan', { set: ['model.architecture=vae'] }, 'setting_elsewhere', 'preset'],
  ])('%s %j', (preset, choices, code, hint) => {
    expect(() => chosen(preset, choices)).toThrow(
      expect.objectContaining({ code, hint: expect.stringContaining(hint) }),
    );
  });

  it.each([
    ['mnist-gan', 'training.r1.weight=-1', 'r1.weight'],
    ['mnist-gan', 'training.criticSteps=many', 'criticSteps'],
    ['mnist-gan', 'model.width=0', 'model.width'],
    ['mnist-ddpm', 'model.prediction=x', 'model.prediction'],
  ])('%s %s names the value', (preset, set, name) => {
    expect(() => chosen(preset, { set: [set] })).toThrow(
      expect.objectContaining({ code: 'invalid_input', message: expect.stringContaining(name) }),
    );
  });
});
