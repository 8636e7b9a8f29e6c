/**
 * From a loss to the programs that train: one step, or gradients added up over several batches and then
 * one update. Knows no architecture: a family hands in its parameters and its loss.
 */
import {
  add,
  cast,
  fill,
  gradients,
  mul,
  type Program,
  reshape,
  type Size,
  slice,
  type Tensor,
  type TensorType,
  trace,
} from '../program/index.ts';
import { moveAverages } from './average.ts';
import { clipByNorm, joinedGradients, optimiserState, SCALARS, updateParameters } from './optimiser.ts';
import { type ParameterSpec, parameterTypes } from './parameters.ts';
import type { TrainingConfig } from './training-config.ts';

/** Drops elements of `x`; each call takes the next part of the step's random mask. */
export type Dropout = (x: Tensor) => Tensor;

export interface LossProgram {
  specs: readonly ParameterSpec[];
  /** Parameters that take part and do not learn, by name. */
  frozen?: Readonly<Record<string, TensorType>>;
  /** What a batch brings, by name. */
  inputs: Readonly<Record<string, TensorType>>;
  /** A scalar. */
  loss(x: Readonly<Record<string, Tensor>>, dropout: Dropout): Tensor;
  /** Elements that one loss drops over, when it uses dropout; or how often it drops over tensors of one open shape. */
  dropped: number | { times: number; shape: readonly Size[] };
}

export interface TrainPrograms {
  /** Inputs: parameters, state, batch, scalars. Outputs: `loss`, `gradient_norm`, `next/NAME`. Absent when accumulating. */
  step?: Program;
  /** Adds gradients: outputs `loss` and `next/sum.NAME`. */
  accumulate?: Program;
  /** Inputs: parameters, state, sums, scalars. Outputs: `gradient_norm`, `next/NAME` (sums back to zero). */
  apply?: Program;
  /** Names, shapes and start (`zero`, or the parameter's own value) of all state beside the parameters. */
  state: Record<string, { shape: readonly Size[]; start: 'zero' | string }>;
}

type Settings = Pick<TrainingConfig, 'optimiser' | 'clip' | 'ema' | 'accumulation' | 'dropout'>;

export function trainPrograms(name: string, model: LossProgram, settings: Settings): TrainPrograms {
  const { specs } = model;
  const names = specs.map((s) => s.name);
  const parameters = { ...parameterTypes(specs), ...model.frozen };
  const moments = optimiserState(specs, settings.optimiser);
  const averages: Record<string, TensorType> =
    settings.ema === 0
      ? {}
      : Object.fromEntries(specs.map((s) => [`average.${s.name}`, { dtype: 'f32', shape: s.shape }]));
  const scalars = Object.fromEntries(SCALARS.map((n) => [n, { dtype: 'f32' as const, shape: [] }]));
  const mask: Record<string, TensorType> =
    settings.dropout === 0 ? {} : { dropout: { dtype: 'u8', shape: maskShape(model) } };
  const state: TrainPrograms['state'] = {};
  for (const [key, type] of Object.entries(moments)) state[key] = { shape: type.shape, start: 'zero' };
  for (const spec of specs)
    if (settings.ema !== 0) state[`average.${spec.name}`] = { shape: spec.shape, start: spec.name };

  const lossAndGradients = (x: Readonly<Record<string, Tensor>>): { loss: Tensor; found: Tensor[] } => {
    const loss = model.loss(x, dropoutOf(x.dropout, settings.dropout));
    return {
      loss,
      found: gradients(
        loss,
        names.map((n) => x[n] as Tensor),
      ),
    };
  };
  const update = (x: Readonly<Record<string, Tensor>>, found: readonly Tensor[]): Record<string, Tensor> => {
    const byName = Object.fromEntries(names.map((n, i) => [n, found[i] as Tensor]));
    const parts = joinedGradients(specs, byName, settings.optimiser);
    const { norm, scale } = clipByNorm(parts, settings.clip === 0 ? undefined : settings.clip);
    const next = updateParameters({
      specs,
      parameters: x,
      state: x,
      scalars: x,
      gradients: byName,
      config: settings.optimiser,
      gradientScale: scale,
    });
    if (settings.ema !== 0) {
      const moved = moveAverages(
        specs,
        (name) => x[`average.${name}`] as Tensor,
        (name) => next[name] as Tensor,
        1 - settings.ema,
      );
      for (const [name, average] of Object.entries(moved)) next[`average.${name}`] = average;
    }
    return { gradient_norm: norm, ...prefixed(next) };
  };

  if (settings.accumulation === 1) {
    const step = trace(
      `${name}_train`,
      { ...parameters, ...moments, ...averages, ...scalars, ...model.inputs, ...mask },
      (x) => {
        const { loss, found } = lossAndGradients(x);
        return { loss, ...update(x, found) };
      },
    );
    return { step, state };
  }
  const sums: Record<string, TensorType> = Object.fromEntries(
    specs.map((s) => [`sum.${s.name}`, { dtype: 'f32', shape: s.shape }]),
  );
  for (const spec of specs) state[`sum.${spec.name}`] = { shape: spec.shape, start: 'zero' };
  const accumulate = trace(
    `${name}_accumulate`,
    { ...parameters, ...sums, ...model.inputs, ...mask },
    (x) => {
      const { loss, found } = lossAndGradients(x);
      const added = names.map(
        (n, i) =>
          [
            `sum.${n}`,
            add(x[`sum.${n}`] as Tensor, mul(found[i] as Tensor, 1 / settings.accumulation)),
          ] as const,
      );
      return { loss, ...prefixed(Object.fromEntries(added)) };
    },
  );
  const apply = trace(
    `${name}_apply`,
    { ...parameters, ...moments, ...averages, ...scalars, ...sums },
    (x) => ({
      ...update(
        x,
        names.map((n) => x[`sum.${n}`] as Tensor),
      ),
      ...prefixed(Object.fromEntries(specs.map((s) => [`sum.${s.name}`, fill(0, s.shape)]))),
    }),
  );
  return { accumulate, apply, state };
}

function prefixed(values: Record<string, Tensor>): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [`next/${key}`, value]));
}

/** Of a step's mask: a list of elements, or a leading axis of draws. */
export const maskShape = ({ dropped }: Pick<LossProgram, 'dropped'>): readonly Size[] =>
  typeof dropped === 'number' ? [dropped] : [dropped.times, ...dropped.shape];

/** The mask holds 1 for what stays; what stays grows by 1/(1 − p) (Srivastava et al. 2014, inverted). */
function dropoutOf(mask: Tensor | undefined, probability: number): Dropout {
  if (mask === undefined) return (x) => x;
  let at = 0;
  if (mask.shape.length > 1)
    return (x) => {
      const part = reshape(slice(mask, { axis: 0, start: at, end: ++at }), x.shape);
      return mul(x, mul(cast(part, 'f32'), 1 / (1 - probability)));
    };
  return (x) => {
    const size = (x.shape as readonly number[]).reduce((a, b) => a * b, 1);
    const part = slice(mask, { axis: 0, start: at, end: at + size });
    at += size;
    return mul(x, mul(cast(reshape(part, x.shape), 'f32'), 1 / (1 - probability)));
  };
}
