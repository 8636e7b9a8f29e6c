/**
 * Optimisers as pieces of a tensor program: gradients in, new parameters and state out. Scalars that change
 * from step to step (learning rate, bias corrections) are inputs; everything else is constant.
 */
import { sizeOf } from '../base/tensor.ts';
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
import { join, separate } from './joined.ts';
import type { ParameterSpec } from './parameters.ts';
import type { OptimiserConfig } from './training-config.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** Parameters that AdamW updates as one vector. */
interface Group {
  readonly key: string;
  readonly specs: readonly ParameterSpec[];
  readonly size: number;
  readonly decays: boolean;
}

/** A group fits the processor's second-level cache; small parameters would cost more in calls than in arithmetic. */
const GROUP_LIMIT = 2 ** 19;

function adamGroups(specs: readonly ParameterSpec[], config: OptimiserConfig): Group[] {
  const groups: { specs: ParameterSpec[]; size: number; decays: boolean }[] = [];
  for (const decays of [true, false]) {
    let open: (typeof groups)[number] | undefined;
    for (const spec of specs) {
      if (usesMuon(spec, config) || (spec.role !== 'vector') !== decays) continue;
      const size = sizeOf(spec.shape);
      if (open === undefined || open.size + size > GROUP_LIMIT) {
        open = { specs: [], size: 0, decays };
        groups.push(open);
      }
      open.specs.push(spec);
      open.size += size;
    }
  }
  return groups.map((group, i) => ({
    ...group,
    key: group.specs.length === 1 ? (group.specs[0] as ParameterSpec).name : `group.${i}`,
  }));
}

const usesMuon = (spec: ParameterSpec, config: OptimiserConfig): boolean =>
  config.name === 'muon' && spec.role === 'matrix';

/** Names and shapes of the state beside the parameters, all starting at zero. */
export function optimiserState(
  specs: readonly ParameterSpec[],
  config: OptimiserConfig,
): Record<string, TensorType> {
  const state: Record<string, TensorType> = {};
  const hold = (name: string, shape: readonly number[]): void => {
    state[name] = { dtype: 'f32', shape };
  };
  if (config.name === 'sgd') {
    for (const spec of specs) if (config.momentum !== 0) hold(`momentum.${spec.name}`, spec.shape);
    return state;
  }
  for (const spec of specs) if (usesMuon(spec, config)) hold(`momentum.${spec.name}`, spec.shape);
  for (const group of adamGroups(specs, config)) {
    const shape = group.specs.length === 1 ? (group.specs[0] as ParameterSpec).shape : [group.size];
    hold(`moment1.${group.key}`, shape);
    hold(`moment2.${group.key}`, shape);
  }
  return state;
}

/** Inputs that change every step; all f32 scalars. */
export const SCALARS = ['learning_rate', 'correction1', 'correction2'] as const;

/** Their values. `step` counts from 0. Adam's bias corrections: 1 − βᵗ (Kingma and Ba 2015, alg. 1). */
export function scalarsAt(
  step: number,
  learningRate: number,
  config: OptimiserConfig,
): Record<(typeof SCALARS)[number], number> {
  const beta1 = config.name === 'sgd' ? 0 : config.beta1;
  const beta2 = config.name === 'sgd' ? 0 : config.beta2;
  return {
    learning_rate: learningRate,
    correction1: 1 - beta1 ** (step + 1),
    correction2: 1 - beta2 ** (step + 1),
  };
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
  const { config } = call;
  if (config.name === 'sgd') {
    for (const spec of call.specs) sgd(spec, call, config, next);
    return next;
  }
  for (const spec of call.specs)
    if (config.name === 'muon' && usesMuon(spec, config)) muon(spec, call, config, next);
  for (const group of adamGroups(call.specs, config)) adamw(group, call, config, next);
  return next;
}

const get = (tensors: Tensors, name: string): Tensor => tensors[name] as Tensor;

/** What a group's parameters have, as one vector. */
function joined({ specs }: Group, tensors: Tensors): Tensor {
  return join(specs.map((spec) => get(tensors, spec.name)));
}

/** Loshchilov and Hutter 2019, alg. 2; only matrices and embeddings decay. */
function adamw(
  group: Group,
  call: UpdateCall,
  config: Exclude<OptimiserConfig, { name: 'sgd' }>,
  next: Record<string, Tensor>,
): void {
  const g = joined(group, call.gradients);
  const p = joined(group, call.parameters);
  const scale = call.gradientScale ?? constant(1);
  const rate =
    config.name === 'muon'
      ? mul(get(call.scalars, 'learning_rate'), config.adamRate)
      : get(call.scalars, 'learning_rate');
  const root = sqrt(get(call.scalars, 'correction2'));
  // Scalars are gathered first: every walk over a parameter costs its size in memory traffic.
  const m = add(
    mul(get(call.state, `moment1.${group.key}`), config.beta1),
    mul(g, mul(scale, 1 - config.beta1)),
  );
  const v = add(
    mul(get(call.state, `moment2.${group.key}`), config.beta2),
    mul(mul(g, g), mul(mul(scale, scale), 1 - config.beta2)),
  );
  const step = mul(
    div(m, add(sqrt(v), mul(root, config.epsilon))),
    div(mul(rate, root), get(call.scalars, 'correction1')),
  );
  next[`moment1.${group.key}`] = m;
  next[`moment2.${group.key}`] = v;
  const moved = sub(group.decays ? decayed(p, rate, config.weightDecay) : p, step);
  const shapes = group.specs.map(({ shape }) => shape);
  separate(moved, shapes).forEach((part, i) => {
    next[(group.specs[i] as ParameterSpec).name] = part;
  });
}

function decayed(p: Tensor, rate: Tensor, weightDecay: number): Tensor {
  return weightDecay === 0 ? p : mul(p, sub(1, mul(rate, weightDecay)));
}

/** Sutskever et al. 2013, in PyTorch's form: b ← μ·b + g; p ← p − η·(g + μ·b where Nesterov, else b). */
function sgd(
  spec: ParameterSpec,
  call: UpdateCall,
  config: Extract<OptimiserConfig, { name: 'sgd' }>,
  next: Record<string, Tensor>,
): void {
  const { name } = spec;
  const given =
    call.gradientScale === undefined
      ? get(call.gradients, name)
      : mul(get(call.gradients, name), call.gradientScale);
  const g =
    config.weightDecay === 0 || spec.role === 'vector'
      ? given
      : add(given, mul(get(call.parameters, name), config.weightDecay));
  let direction = g;
  if (config.momentum !== 0) {
    const b = add(mul(get(call.state, `momentum.${name}`), config.momentum), g);
    next[`momentum.${name}`] = b;
    direction = config.nesterov ? add(g, mul(b, config.momentum)) : b;
  }
  next[name] = sub(get(call.parameters, name), mul(direction, get(call.scalars, 'learning_rate')));
}

/** Jordan et al. 2024: momentum, made orthogonal by five Newton–Schulz steps, scaled by √max(1, rows/columns). */
function muon(
  spec: ParameterSpec,
  call: UpdateCall,
  config: Extract<OptimiserConfig, { name: 'muon' }>,
  next: Record<string, Tensor>,
): void {
  const { name } = spec;
  const g =
    call.gradientScale === undefined
      ? get(call.gradients, name)
      : mul(get(call.gradients, name), call.gradientScale);
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
  next[name] = sub(
    decayed(get(call.parameters, name), rate, config.weightDecay),
    mul(direction, mul(rate, scale)),
  );
}

function splitColumns(x: Tensor, blocks: number): Tensor[] {
  const size = (x.shape[1] as number) / blocks;
  return split(
    x,
    Array.from({ length: blocks }, () => size),
    1,
  );
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

/** The gradients as their updates take them, most of them joined: what has to be summed up over all is few tensors then. */
export function joinedGradients(
  specs: readonly ParameterSpec[],
  gradients: Tensors,
  config: OptimiserConfig,
): Tensor[] {
  const groups = config.name === 'sgd' ? [] : adamGroups(specs, config);
  const grouped = new Set(groups.flatMap((group) => group.specs));
  const alone = specs.filter((spec) => !grouped.has(spec)).map(({ name }) => get(gradients, name));
  return [...groups.map((group) => joined(group, gradients)), ...alone];
}

/** Global norm of all gradients, and the factor that brings it down to `limit`. */
export function clipByNorm(
  gradients: readonly Tensor[],
  limit: number | undefined,
): { norm: Tensor; scale: Tensor | undefined } {
  const norm = sqrt(gradients.map((g) => sum(mul(g, g))).reduce((a, b) => add(a, b), fill(0, [])));
  if (limit === undefined) return { norm, scale: undefined };
  return { norm, scale: minimum(1, div(limit, maximum(norm, 1e-6))) };
}
