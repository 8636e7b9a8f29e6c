/**
 * A convolutional GAN (Goodfellow et al. 2014; Radford et al. 2016) and its conditional forms: the label joined to the
 * input of both networks (Mirza and Osindero 2014), or as a projection in the critic (Miyato and Koyama 2018).
 * Knows no loss: that is the training's.
 */
import { z } from 'zod';
import { tensor } from '../../base/tensor.ts';
import type { Conditions, CriticNetwork, GeneratorNetwork, Tensors } from '../../nn/adversarial/contract.ts';
import type { ParameterSpec } from '../../nn/parameters.ts';
import { broadcastTo, concat, mul, oneHot, reshape, type Tensor, tanh } from '../../program/index.ts';
import { criticHead } from './critic-head.ts';
import {
  convolution,
  convolutionSpecs,
  dense,
  denseSpecs,
  GAIN,
  pixelNorm,
  rectify,
  truncated,
  upsample,
} from './layers.ts';
import { channelsAt, imageSizes, ladder } from './sizes.ts';

export const ganConfig = z.object({
  architecture: z.literal('gan'),
  ...imageSizes,
  /** How labels come in, where there are any. */
  conditioning: z.enum(['concatenation', 'projection']).default('projection'),
  /** Neighbours whose deviation the critic sees; 0 for none. */
  group: z.number().int().min(0).default(4),
});
export type GanConfig = z.infer<typeof ganConfig>;

export function ganGenerator(config: GanConfig): GeneratorNetwork {
  const { latent, classes, channels, size } = config;
  const sizes = ladder(size);
  const first = sizes[0] as number;
  const widths = sizes.map((s) => channelsAt(s, config));
  const specs: ParameterSpec[] = [
    ...denseSpecs('generator.start', latent + classes, (widths[0] as number) * first * first),
  ];
  sizes.forEach((s, i) => {
    const before = widths[Math.max(0, i - 1)] as number;
    specs.push(...convolutionSpecs(`generator.size${s}`, before, widths[i] as number, 3));
  });
  specs.push(...convolutionSpecs('generator.picture', widths.at(-1) as number, channels, 3));
  return {
    specs,
    inputs: (batch) => ({
      latents: { dtype: 'f32', shape: [batch, latent] },
      ...(classes > 0 ? { labels: { dtype: 'i32' as const, shape: [batch] } } : {}),
    }),
    draw: (random, batch) => ({ latents: tensor('f32', [batch, latent], random.normals(batch * latent)) }),
    images(x) {
      // Scaled after it is normalised: before, the norm would take the scale out again.
      const z = truncated(x, pixelNorm(x.latents as Tensor));
      const given =
        classes > 0 ? concat([z, mul(oneHot(x.labels as Tensor, classes), Math.sqrt(classes))], 1) : z;
      const batch = z.shape[0] as number;
      let h = reshape(dense(x, 'generator.start', given, { gain: GAIN }), [
        batch,
        widths[0] as number,
        first,
        first,
      ]);
      h = pixelNorm(rectify(h));
      sizes.forEach((s, i) => {
        if (i > 0) h = upsample(h);
        h = pixelNorm(rectify(convolution(x, `generator.size${s}`, h, { gain: GAIN })));
      });
      return tanh(convolution(x, 'generator.picture', h));
    },
  };
}

export function ganCritic(config: GanConfig, options: { times?: number } = {}): CriticNetwork {
  const { classes, channels, size, conditioning, group } = config;
  const sizes = ladder(size).reverse();
  const widths = sizes.map((s) => channelsAt(s, config));
  const last = sizes.at(-1) as number;
  const joined = classes > 0 && conditioning === 'concatenation';
  const specs: ParameterSpec[] = [
    ...convolutionSpecs('critic.picture', channels + (joined ? classes : 0), widths[0] as number, 3),
  ];
  for (let i = 1; i < sizes.length; i++)
    specs.push(
      ...convolutionSpecs(`critic.size${sizes[i]}`, widths[i - 1] as number, widths[i] as number, 3),
    );
  const head = criticHead({
    width: widths.at(-1) as number,
    size: last,
    group,
    classes: joined ? 0 : classes,
    times: options.times,
  });
  specs.push(...head.specs);
  return {
    specs,
    score(x: Tensors, images: Tensor, conditions: Conditions) {
      const batch = images.shape[0] as number;
      let h = images;
      if (joined) {
        const planes = reshape(oneHot(conditions.labels as Tensor, classes), [batch, classes, 1, 1]);
        h = concat([h, broadcastTo(planes, [batch, classes, size, size])], 1);
      }
      h = rectify(convolution(x, 'critic.picture', h, { gain: GAIN }));
      for (const s of sizes.slice(1))
        h = rectify(convolution(x, `critic.size${s}`, h, { gain: GAIN, stride: 2 }));
      return head.score(x, h, conditions);
    },
  };
}
