/**
 * The critic of both StyleGANs: pictures halved step by step with a low-pass filter (version 1 plain, version 2 with
 * residual connections), the batch's deviation, and the label or the number of diffusion steps as a projection.
 */
import type { Conditions, CriticNetwork, Tensors } from '../../nn/adversarial/contract.ts';
import type { ParameterSpec } from '../../nn/parameters.ts';
import { add, div, type Tensor } from '../../program/index.ts';
import { criticHead } from './critic-head.ts';
import { convolution, convolutionSpecs, downsample, GAIN, rectify } from './layers.ts';
import { channelsAt, ladder } from './sizes.ts';
import type { StyleganConfig } from './stylegan.ts';

export function styleganCritic(config: StyleganConfig, options: { times?: number } = {}): CriticNetwork {
  const { architecture, channels, classes, group } = config;
  const residual = architecture === 'stylegan2';
  const sizes = ladder(config.size).reverse();
  const last = sizes.at(-1) as number;
  const widthAt = (size: number): number => channelsAt(size, config);
  const deepest = widthAt(last);
  const specs: ParameterSpec[] = [
    ...convolutionSpecs('critic.picture', channels, widthAt(sizes[0] as number), 1),
  ];
  for (const size of sizes.slice(0, -1)) {
    const to = widthAt(size / 2);
    specs.push(
      ...convolutionSpecs(`critic.size${size}.same`, widthAt(size), widthAt(size), 3),
      ...convolutionSpecs(`critic.size${size}.down`, widthAt(size), to, 3),
    );
    if (residual)
      specs.push(...convolutionSpecs(`critic.size${size}.skip`, widthAt(size), to, 1, { bias: false }));
  }
  const head = criticHead({ width: deepest, size: last, group, classes, times: options.times });
  specs.push(...head.specs);
  return {
    specs,
    score(x: Tensors, images: Tensor, conditions: Conditions) {
      let h = rectify(convolution(x, 'critic.picture', images, { gain: GAIN }));
      for (const size of sizes.slice(0, -1)) {
        const inner = rectify(convolution(x, `critic.size${size}.same`, h, { gain: GAIN }));
        const down = rectify(convolution(x, `critic.size${size}.down`, downsample(inner), { gain: GAIN }));
        h = residual
          ? div(add(down, convolution(x, `critic.size${size}.skip`, downsample(h))), Math.SQRT2)
          : down;
      }
      return head.score(x, h, conditions);
    },
  };
}
