/**
 * From two networks to the programs that train them: the critic's step and the generator's, each with and without its
 * lazy penalty. All of them run over the same resident state. Knows no architecture.
 *
 * StyleGAN 2 slows Adam down by k/(k+1), because it takes a step of its own for a penalty after every k (Karras et al. 2020b,
 * appendix B). Here a penalty is added to the loss of every k-th step: there is no step more, and nothing to make up for.
 */
import {
  add,
  concat,
  constant,
  div,
  gradients,
  mean,
  mul,
  type Program,
  sign,
  slice,
  sqrt,
  square,
  stopGradient,
  sub,
  sum,
  type Tensor,
  trace,
} from '../../program/index.ts';
import { moveAverages } from '../average.ts';
import { optimiserState, SCALARS, updateParameters } from '../optimiser.ts';
import { type ParameterSpec, parameterTypes } from '../parameters.ts';
import type { AdversarialConfig } from './config.ts';
import type { AdversarialModel, CriticNetwork, Tensors, Types } from './contract.ts';
import { criticLoss, generatorLoss, gradientPenalty, unitSlopePenalty } from './losses.ts';

/** Prefix of the inputs that the path length's own pictures take. */
export const LENGTH = 'length.';
/** Running mean of the path lengths, a scalar of the generator's state. */
export const PATH_MEAN = 'path_mean';
/** The average's share for the newest parameters, an input of the generator's step. */
export const AVERAGE_SHARE = 'average_share';

export interface AdversarialPrograms {
  /** Inputs: both networks, the critic's moments, scalars, `real`, generator inputs. Outputs: `loss`, `sign`, scores, `next/…`. */
  critic: Program;
  /** The same with R1. */
  criticPenalised?: Program;
  /** Inputs: both networks, the generator's moments and average, scalars, generator inputs. */
  generator: Program;
  /** The same with the path length. */
  generatorPenalised?: Program;
  /** Shapes of the state beside the parameters, by network; all start at zero but the averages. */
  state: { critic: Types; generator: Types };
}

type Settings = Pick<
  AdversarialConfig,
  'batch' | 'loss' | 'optimiser' | 'r1' | 'slope' | 'pathLength' | 'frozen'
>;

export const learned = (specs: readonly ParameterSpec[], frozen: readonly string[]): ParameterSpec[] =>
  specs.filter(({ name }) => !frozen.some((start) => name.startsWith(start)));

const scalarTypes = (...names: readonly string[]): Types =>
  Object.fromEntries(names.map((name) => [name, { dtype: 'f32' as const, shape: [] }]));

const withPrefix = (prefix: string, types: Types): Types =>
  Object.fromEntries(Object.entries(types).map(([name, type]) => [prefix + name, type]));

const withoutPrefix = (prefix: string, x: Tensors): Tensors => ({
  ...x,
  ...Object.fromEntries(
    Object.entries(x)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, value]) => [name.slice(prefix.length), value]),
  ),
});

export function adversarialPrograms(
  name: string,
  model: AdversarialModel,
  settings: Settings,
): AdversarialPrograms {
  const { generator, critic, shape, classes } = model;
  const { batch } = settings;
  const parameters = { ...parameterTypes(generator.specs), ...parameterTypes(critic.specs) };
  const made = learned(generator.specs, settings.frozen);
  const judging = learned(critic.specs, settings.frozen);
  const state = {
    critic: optimiserState(judging, settings.optimiser),
    generator: {
      ...optimiserState(made, settings.optimiser),
      ...withPrefix('average.', parameterTypes(generator.specs)),
      ...(settings.pathLength.weight > 0 ? scalarTypes(PATH_MEAN) : {}),
    },
  };
  const labelled: Types = classes > 0 ? { real_labels: { dtype: 'i32', shape: [batch] } } : {};
  const scalars = scalarTypes(...SCALARS);

  const criticStep = (penalised: boolean): Program =>
    trace(
      `${name}_critic${penalised ? '_penalised' : ''}`,
      {
        ...parameters,
        ...state.critic,
        ...scalars,
        real: { dtype: 'f32', shape: [batch, ...shape] },
        ...labelled,
        ...generator.inputs(batch),
        ...model.perturbation?.inputs(2 * batch),
        ...(settings.loss === 'wgan-gp' ? { between: { dtype: 'f32', shape: [batch, 1, 1, 1] } } : {}),
      },
      (x) => {
        const real = x.real as Tensor;
        const fake = stopGradient(generator.images(x));
        const both = scoresOf(model, x, real, fake);
        let loss = criticLoss(settings.loss, both.real, both.fake);
        if (settings.loss === 'wgan-gp') {
          const between = add(real, mul(sub(fake, real), x.between as Tensor));
          // Where the real and the made picture lie that went through the same: the slope is of what the critic sees.
          const seen = model.perturbation?.apply(ofReal(model, x, batch), between) ?? { images: between };
          const scores = critic.score(x, seen.images, { labels: x.real_labels, times: seen.times });
          loss = add(loss, mul(unitSlopePenalty(scores, seen.images), settings.slope));
        }
        const penalty = penalised ? gradientPenalty(both.real, real) : constant(0);
        if (penalised) loss = add(loss, mul(penalty, (settings.r1.weight / 2) * settings.r1.every));
        return {
          loss,
          real_score: mean(both.real),
          fake_score: mean(both.fake),
          sign: mean(sign(both.real)),
          penalty,
          ...update(judging, x, loss, settings),
        };
      },
    );

  const generatorStep = (penalised: boolean): Program =>
    trace(
      `${name}_generator${penalised ? '_penalised' : ''}`,
      {
        ...parameters,
        ...state.generator,
        ...scalars,
        ...scalarTypes(AVERAGE_SHARE),
        ...generator.inputs(batch),
        ...model.perturbation?.inputs(batch),
        ...(penalised ? lengthInputs(model, batch) : {}),
      },
      (x) => {
        const images = generator.images(x);
        const fake = judged(model, critic, x, images, x.labels);
        let loss = generatorLoss(settings.loss, fake);
        const next: Record<string, Tensor> = {};
        let penalty: Tensor = constant(0);
        if (penalised) {
          const path = pathLength(model, x, settings.pathLength.decay);
          penalty = path.penalty;
          next[`next/${PATH_MEAN}`] = path.mean;
          loss = add(loss, mul(penalty, settings.pathLength.weight * settings.pathLength.every));
        }
        const updated = update(made, x, loss, settings);
        const averages = moveAverages(
          generator.specs,
          (name) => x[`average.${name}`] as Tensor,
          (name) => updated[`next/${name}`] ?? (x[name] as Tensor),
          x[AVERAGE_SHARE] as Tensor,
        );
        for (const [name, average] of Object.entries(averages)) next[`next/average.${name}`] = average;
        // Of all pictures together: where it falls to nothing, every latent gives the same picture.
        const spread = mean(sqrt(add(variation(images), 1e-12)));
        return { loss, penalty, spread, ...updated, ...next };
      },
    );

  return {
    critic: criticStep(false),
    ...(settings.r1.weight > 0 ? { criticPenalised: criticStep(true) } : {}),
    generator: generatorStep(false),
    ...(settings.pathLength.weight > 0 && generator.styles !== undefined
      ? { generatorPenalised: generatorStep(true) }
      : {}),
    state,
  };
}

/** Deviation of each pixel over the batch, squared. */
function variation(images: Tensor): Tensor {
  const center = mean(images, { axes: [0], keep: true });
  return mean(square(sub(images, center)), { axes: [0] });
}

function judged(
  { perturbation }: AdversarialModel,
  critic: CriticNetwork,
  x: Tensors,
  images: Tensor,
  labels: Tensor | undefined,
  batches = 1,
): Tensor {
  const seen = perturbation?.apply(x, images) ?? { images };
  return critic.score(x, seen.images, { labels, times: seen.times, batches });
}

/** What was drawn for the perturbation of both halves, as the real pictures have it. */
function ofReal({ perturbation }: AdversarialModel, x: Tensors, batch: number): Tensors {
  const names = Object.keys(perturbation?.inputs(batch) ?? {});
  return Object.fromEntries(
    names.map((name) => [name, slice(x[name] as Tensor, { axis: 0, start: 0, end: batch })]),
  );
}

/** Scores of real and made pictures, from one pass over both. */
function scoresOf(
  model: AdversarialModel,
  x: Tensors,
  real: Tensor,
  fake: Tensor,
): { real: Tensor; fake: Tensor } {
  const labels = model.classes > 0 ? concat([x.real_labels as Tensor, x.labels as Tensor], 0) : undefined;
  const scores = judged(model, model.critic, x, concat([real, fake], 0), labels, 2);
  const half = real.shape[0] as number;
  return {
    real: slice(scores, { axis: 0, start: 0, end: half }),
    fake: slice(scores, { axis: 0, start: half, end: 2 * half }),
  };
}

function update(
  specs: readonly ParameterSpec[],
  x: Tensors,
  loss: Tensor,
  { optimiser }: Pick<Settings, 'optimiser'>,
): Record<string, Tensor> {
  const found = gradients(
    loss,
    specs.map(({ name }) => x[name] as Tensor),
  );
  const next = updateParameters({
    specs,
    parameters: x,
    state: x,
    scalars: x,
    gradients: Object.fromEntries(specs.map(({ name }, i) => [name, found[i] as Tensor])),
    config: optimiser,
  });
  return Object.fromEntries(Object.entries(next).map(([name, value]) => [`next/${name}`, value]));
}

const lengthBatch = (batch: number): number => Math.max(1, Math.floor(batch / 2));

function lengthInputs({ generator, shape }: AdversarialModel, batch: number): Types {
  const part = lengthBatch(batch);
  return {
    ...withPrefix(LENGTH, generator.inputs(part)),
    [`${LENGTH}directions`]: { dtype: 'f32', shape: [part, ...shape] },
  };
}

/**
 * Karras et al. 2020b, equation 4: how far a step of fixed length in style space moves the picture, in a random direction;
 * the penalty is its squared distance from the running mean.
 */
function pathLength(
  { generator, shape }: AdversarialModel,
  x: Tensors,
  decay: number,
): { penalty: Tensor; mean: Tensor } {
  const own = withoutPrefix(LENGTH, x);
  const styles = (generator.styles as (x: Tensors) => Tensor)(own);
  const images = generator.images(own, styles);
  const directions = div(own.directions as Tensor, Math.sqrt(shape[1] * shape[2]));
  const [slope] = gradients(sum(mul(images, directions)), [styles]) as [Tensor];
  const lengths = sqrt(add(mean(sum(square(slope), { axes: [2] }), { axes: [1] }), 1e-12));
  const before = x[PATH_MEAN] as Tensor;
  const running = stopGradient(add(before, mul(sub(mean(lengths), before), decay)));
  return { penalty: mean(square(sub(lengths, running))), mean: running };
}
