/** The games that generator and critic play, over scores; and the penalties that keep a critic smooth. */
import {
  add,
  gradients,
  maximum,
  mean,
  mul,
  neg,
  relu,
  softplus,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
} from '../../program/index.ts';

export const ADVERSARIAL_LOSSES = ['minimax', 'non-saturating', 'lsgan', 'wgan-gp', 'hinge'] as const;
export type AdversarialLoss = (typeof ADVERSARIAL_LOSSES)[number];

/** What the critic minimises; `real` and `fake` `[batch]` are raw scores. */
export function criticLoss(loss: AdversarialLoss, real: Tensor, fake: Tensor): Tensor {
  switch (loss) {
    // −log σ(real) − log(1 − σ(fake)): Goodfellow et al. 2014, equation 1.
    case 'minimax':
    case 'non-saturating':
      return add(mean(softplus(neg(real))), mean(softplus(fake)));
    // Mao et al. 2017, equation 9.
    case 'lsgan':
      return mul(add(mean(square(sub(real, 1))), mean(square(fake))), 0.5);
    // Gulrajani et al. 2017; the drift keeps the scores near zero (Karras et al. 2018, appendix A.1).
    case 'wgan-gp':
      return add(sub(mean(fake), mean(real)), mul(mean(square(real)), 1e-3));
    // Lim and Ye 2017, equation 14.
    case 'hinge':
      return add(mean(relu(sub(1, real))), mean(relu(add(fake, 1))));
  }
}

/** What the generator minimises. */
export function generatorLoss(loss: AdversarialLoss, fake: Tensor): Tensor {
  switch (loss) {
    case 'minimax':
      return neg(mean(softplus(fake)));
    case 'non-saturating':
      return mean(softplus(neg(fake)));
    case 'lsgan':
      return mul(mean(square(sub(fake, 1))), 0.5);
    case 'wgan-gp':
    case 'hinge':
      return neg(mean(fake));
  }
}

/** Sum of squares over all axes but the first: `[batch, …] → [batch]`. */
function squaredNorms(x: Tensor): Tensor {
  return sum(square(x), { axes: x.shape.slice(1).map((_, i) => i + 1) });
}

/** R1: the mean squared length of the scores' gradient at real pictures (Mescheder et al. 2018, equation 9). */
export function gradientPenalty(scores: Tensor, images: Tensor): Tensor {
  const [slope] = gradients(sum(scores), [images]) as [Tensor];
  return mean(squaredNorms(slope));
}

/** Mean of (‖∇‖ − 1)² (Gulrajani et al. 2017, equation 3). */
export function unitSlopePenalty(scores: Tensor, images: Tensor): Tensor {
  const [slope] = gradients(sum(scores), [images]) as [Tensor];
  return mean(square(sub(sqrt(maximum(squaredNorms(slope), 1e-12)), 1)));
}
