/**
 * Optimisers as pieces of a tensor program: gradients in, new parameters and state out. Scalars that change
 * from step to step (learning rate, bias corrections) are inputs; everything else is constant.
 */
import {
  add,
  concat,
  constant,
  div,
  fill,
  matmul,
  maximum,
  minimum,
  mul,
  split,
  sqrt,
  sub,
  sum,
  swapAxes,
  type Tensor,
  type TensorType,
} from '../program/index.ts';
import type { ParameterSpec } from './parameters.ts';
import type { OptimiserConfig } from './training-config.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** Names and shapes of the state beside each parameter, all starting at zero. */
export function optimiserState(specs: readonly ParameterSpec[], config: OptimiserConfig): Record<string, TensorType> {
  const state: Record<string, TensorType> = {};
  for (const spec of specs) {
    for (const slot of slotsOf(spec, config)) state[`${slot}.${spec.name}`] = { dtype: 'f32', shape: spec.shape };
  }
  return state;
}

function slotsOf(spec: ParameterSpec, config: OptimiserConfig): string[] {
  if (config.name === 'adamw') return ['moment1', 'moment2'];
  if (config.name === 'sgd') return config.momentum === 0 ? [] : ['momentum'];
  return spec.role === 'matrix' ? ['momentum'] : ['moment1', 'moment2'];
}

/** Inputs that change every step; all f32 scalars. */
export const SCALARS = ['learning_rate', 'correction1', 'correction2'] as const;

/** Their values. `step` counts from 0. Adam's bias corrections: 1 − βᵗ (Kingma and Ba 2015, alg. 1). */
export function scalarsAt(step: number, learningRate: number, config: OptimiserConfig): Record<(typeof SCALARS)[number], number> {
  const beta1 = config.name === 'sgd' ? 0 : config.beta1;
  const beta2 = config.name === 'sgd' ? 0 : config.beta2;
  return { learning_rate: learningRate, correction1: 1 - beta1 ** (step + 1), correction2: 1 - beta2 ** (step + 1) };
}

export interface UpdateCall {
  specs: readonly ParameterSpec[];
  parameters: Tensors;
  gradients: Tensors;
  state: Tensors;
  scalars: Tensors;
  config: OptimiserConfig;
  /** Multiplies every gradient (from clipping). */
  gradientScale?: Tensor | undefined;
}

/** New values by name: parameters and state. */
export function updateParameters(call: UpdateCall): Record<string, Tensor> {
  const next: Record<string, Tensor> = {};
  for (const spec of call.specs) {
    if (call.config.name === 'sgd') sgd(spec, call, call.config, next);
    else if (call.config.name === 'muon' && spec.role === 'matrix') muon(spec, call, call.config, next);
    else adamw(spec, call, call.config, next);
  }
  return next;
}

const get = (tensors: Tensors, name: string): Tensor => tensors[name] as Tensor;

/** Loshchilov and Hutter 2019, alg. 2; only matrices and embeddings decay. */
function adamw(spec: ParameterSpec, call: UpdateCall, config: Exclude<OptimiserConfig, { name: 'sgd' }>, next: Record<string, Tensor>): void {
  const { name } = spec;
  const g = get(call.gradients, name);
  const scale = call.gradientScale ?? constant(1);
  const rate = config.name === 'muon' ? mul(get(call.scalars, 'learning_rate'), config.adamRate) : get(call.scalars, 'learning_rate');
  const root = sqrt(get(call.scalars, 'correction2'));
  // Scalars are gathered first: every walk over a parameter costs its size in memory traffic.
  const m = add(mul(get(call.state, `moment1.${name}`), config.beta1), mul(g, mul(scale, 1 - config.beta1)));
  const v = add(mul(get(call.state, `moment2.${name}`), config.beta2), mul(mul(g, g), mul(mul(scale, scale), 1 - config.beta2)));
  const step = mul(div(m, add(sqrt(v), mul(root, config.epsilon))), div(mul(rate, root), get(call.scalars, 'correction1')));
  next[`moment1.${name}`] = m;
  next[`moment2.${name}`] = v;
  next[name] = sub(decayed(spec, call, rate, config.weightDecay), step);
}

function decayed(spec: ParameterSpec, call: UpdateCall, rate: Tensor, weightDecay: number): Tensor {
  const p = get(call.parameters, spec.name);
  return spec.role === 'vector' || weightDecay === 0 ? p : mul(p, sub(1, mul(rate, weightDecay)));
}

/** Sutskever et al. 2013, in PyTorch's form: b ← μ·b + g; p ← p − η·(g + μ·b where Nesterov, else b). */
function sgd(spec: ParameterSpec, call: UpdateCall, config: Extract<OptimiserConfig, { name: 'sgd' }>, next: Record<string, Tensor>): void {
  const { name } = spec;
  const given = call.gradientScale === undefined ? get(call.gradients, name) : mul(get(call.gradients, name), call.gradientScale);
  const g = config.weightDecay === 0 || spec.role === 'vector' ? given : add(given, mul(get(call.parameters, name), config.weightDecay));
  let direction = g;
  if (config.momentum !== 0) {
    const b = add(mul(get(call.state, `momentum.${name}`), config.momentum), g);
    next[`momentum.${name}`] = b;
    direction = config.nesterov ? add(g, mul(b, config.momentum)) : b;
  }
  next[name] = sub(get(call.parameters, name), mul(direction, get(call.scalars, 'learning_rate')));
}

/** Jordan et al. 2024: momentum, made orthogonal by five Newton–Schulz steps, scaled by √max(1, rows/columns). */
function muon(spec: ParameterSpec, call: UpdateCall, config: Extract<OptimiserConfig, { name: 'muon' }>, next: Record<string, Tensor>): void {
  const { name } = spec;
  const g = call.gradientScale === undefined ? get(call.gradients, name) : mul(get(call.gradients, name), call.gradientScale);
  const b = add(mul(get(call.state, `momentum.${name}`), config.momentum), mul(g, 1 - config.momentum));
  next[`momentum.${name}`] = b;
  const rate = get(call.scalars, 'learning_rate');
  const nesterov = add(mul(b, config.momentum), mul(g, 1 - config.momentum));
  const [rows, columns] = spec.shape as readonly [number, number];
  const blocks = spec.blocks ?? 1;
  const directions = blocks === 1 ? [nesterov] : splitColumns(nesterov, blocks);
  const orthogonal = directions.map((d) => orthogonalise(d));
  // Weights stand as [in, out]: the paper's fan-out over fan-in is columns over rows here.
  const scale = Math.sqrt(Math.max(1, columns / blocks / rows));
  const direction = orthogonal.length === 1 ? (orthogonal[0] as Tensor) : joinColumns(orthogonal);
  next[name] = sub(decayed(spec, call, rate, config.weightDecay), mul(direction, mul(rate, scale)));
}

function splitColumns(x: Tensor, blocks: number): Tensor[] {
  const size = (x.shape[1] as number) / blocks;
  return split(x, Array.from({ length: blocks }, () => size), 1);
}

function joinColumns(parts: readonly Tensor[]): Tensor {
  return concat(parts, 1);
}

/** The quintic iteration X ← aX + (bA + cA²)X, A = XXᵀ, from X/‖X‖ (coefficients of Jordan et al.). */
export function orthogonalise(x: Tensor, steps = 5): Tensor {
  const [rows, columns] = x.shape as readonly [number, number];
  const tall = rows > columns;
  let y = div(x, add(sqrt(sum(mul(x, x))), 1e-7));
  if (tall) y = swapAxes(y);
  for (let i = 0; i < steps; i++) {
    const a = matmul(y, swapAxes(y));
    const b = add(mul(a, -4.775), mul(matmul(a, a), 2.0315));
    y = add(mul(y, 3.4445), matmul(b, y));
  }
  return tall ? swapAxes(y) : y;
}

/** Global norm of all gradients, and the factor that brings it down to `limit`. */
export function clipByNorm(gradients: readonly Tensor[], limit: number | undefined): { norm: Tensor; scale: Tensor | undefined } {
  const norm = sqrt(gradients.map((g) => sum(mul(g, g))).reduce((a, b) => add(a, b), fill(0, [])));
  if (limit === undefined) return { norm, scale: undefined };
  return { norm, scale: minimum(1, div(limit, maximum(norm, 1e-6))) };
}
