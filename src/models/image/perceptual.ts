/**
 * How different two pictures look: the distance of Zhang et al. 2018 (LPIPS) without its learned weights, on the layers of
 * our feature network. A tensor program like any other; knows no score.
 */
import { parameterTypes } from '../../nn/parameters.ts';
import {
  add,
  div,
  mean,
  type Program,
  reshape,
  type Size,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  trace,
} from '../../program/index.ts';
import { type LenetConfig, lenetLayers, lenetParameters } from './lenet.ts';

/** Added to each position's length, as the authors' code does. */
const EPSILON = 1e-10;

/** Each position of `[batch, channels, height, width]` to length 1 over its channels. */
function unit(map: Tensor): Tensor {
  return div(map, add(sqrt(sum(square(map), { axes: [1], keep: true })), EPSILON));
}

/**
 * Equation 1 with every weight 1: squared differences of unit maps, summed over channels, mean over positions, summed over
 * layers. Layers are `[batch, channels, height, width]`; the answer is `[batch]`.
 */
export function perceptualDistance(one: readonly Tensor[], other: readonly Tensor[]): Tensor {
  const parts = one.map((map, layer) =>
    mean(sum(square(sub(unit(map), unit(other[layer] as Tensor))), { axes: [1] }), { axes: [1, 2] }),
  );
  return parts.reduce((total, part) => add(total, part));
}

/** `one`, `other` `[batch, channels, size, size] f32` of 0 … 1 → `distance` `[batch]`; the batch is open. */
export function lenetDistanceProgram(config: LenetConfig): Program {
  const parameters = parameterTypes(lenetParameters(config));
  const shape = ['batch', config.channels, config.size, config.size];
  const images = { dtype: 'f32' as const, shape };
  return trace('perceptual', { ...parameters, one: images, other: images }, (x) => {
    const layersOf = (name: string): Tensor[] => {
      const { first, second, features } = lenetLayers(x, x[name] as Tensor);
      const [batch, width] = features.shape as readonly [Size, Size];
      return [first, second, reshape(features, [batch, width, 1, 1])];
    };
    return { distance: perceptualDistance(layersOf('one'), layersOf('other')) };
  });
}
