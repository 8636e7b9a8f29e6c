/**
 * Optimisers written out on plain arrays in float64, from the papers and with no regard for speed. What the
 * tensor programs are held against.
 */
import type { ParameterSpec } from '../../src/nn/parameters.ts';
import type { OptimiserConfig } from '../../src/nn/training-config.ts';

export type Arrays = Record<string, number[]>;

export interface PlainState {
  step: number;
  parameters: Arrays;
  first: Arrays;
  second: Arrays;
}

export function plainStart(parameters: Arrays): PlainState {
  const zeros = (): Arrays =>
    Object.fromEntries(Object.entries(parameters).map(([name, list]) => [name, list.map(() => 0)]));
  return { step: 0, parameters: structuredClone(parameters), first: zeros(), second: zeros() };
}

/** Root of the sum of all squares. */
export function globalNorm(gradients: Arrays): number {
  return Math.sqrt(
    Object.values(gradients)
      .flat()
      .reduce((sum, g) => sum + g * g, 0),
  );
}

/** Gradients as long as `limit` at most; direction kept. */
export function clipped(gradients: Arrays, limit: number): Arrays {
  const factor = Math.min(1, limit / globalNorm(gradients));
  return Object.fromEntries(
    Object.entries(gradients).map(([name, list]) => [name, list.map((g) => g * factor)]),
  );
}

/** One step of all parameters, in place. */
export function plainStep(
  state: PlainState,
  specs: readonly ParameterSpec[],
  gradients: Arrays,
  rate: number,
  config: OptimiserConfig,
): void {
  state.step++;
  for (const spec of specs) {
    const g = gradients[spec.name] as number[];
    if (config.name === 'sgd') sgd(state, spec, g, rate, config);
    else if (config.name === 'muon' && spec.role === 'matrix') muon(state, spec, g, rate, config);
    else adamw(state, spec, g, config.name === 'muon' ? rate * config.adamRate : rate, config);
  }
}

/** Loshchilov and Hutter 2019, algorithm 2, line by line. */
function adamw(
  { step, parameters, first, second }: PlainState,
  { name, role }: ParameterSpec,
  gradient: readonly number[],
  rate: number,
  config: Exclude<OptimiserConfig, { name: 'sgd' }>,
): void {
  const [p, m, v] = [parameters[name], first[name], second[name]] as [number[], number[], number[]];
  const decay = role === 'vector' ? 0 : config.weightDecay;
  gradient.forEach((g, i) => {
    m[i] = config.beta1 * (m[i] as number) + (1 - config.beta1) * g;
    v[i] = config.beta2 * (v[i] as number) + (1 - config.beta2) * g * g;
    const mean = (m[i] as number) / (1 - config.beta1 ** step);
    const square = (v[i] as number) / (1 - config.beta2 ** step);
    const before = p[i] as number;
    p[i] = before - rate * (mean / (Math.sqrt(square) + config.epsilon) + decay * before);
  });
}

/** Momentum as in Sutskever et al. 2013; the decay is part of the gradient. */
function sgd(
  { parameters, first }: PlainState,
  { name, role }: ParameterSpec,
  gradient: readonly number[],
  rate: number,
  config: Extract<OptimiserConfig, { name: 'sgd' }>,
): void {
  const [p, b] = [parameters[name], first[name]] as [number[], number[]];
  const decay = role === 'vector' ? 0 : config.weightDecay;
  gradient.forEach((given, i) => {
    const g = given + decay * (p[i] as number);
    b[i] = config.momentum * (b[i] as number) + g;
    const direction = config.nesterov ? g + config.momentum * (b[i] as number) : (b[i] as number);
    p[i] = (p[i] as number) - rate * direction;
  });
}

type Matrix = number[][];
const times = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) =>
    (b[0] as number[]).map((_, j) => row.reduce((sum, v, k) => sum + v * (b[k]?.[j] as number), 0)),
  );
const turned = (a: Matrix): Matrix => (a[0] as number[]).map((_, j) => a.map((row) => row[j] as number));
const plus = (a: Matrix, b: Matrix): Matrix =>
  a.map((row, i) => row.map((v, j) => v + (b[i]?.[j] as number)));
const by = (a: Matrix, factor: number): Matrix => a.map((row) => row.map((v) => v * factor));

/** Five steps of the iteration that brings all singular values near 1 (Jordan et al. 2024). */
export function plainOrthogonal(x: Matrix): Matrix {
  const tall = x.length > (x[0] as number[]).length;
  let y = by(tall ? turned(x) : x, 1 / (Math.sqrt(x.flat().reduce((sum, v) => sum + v * v, 0)) + 1e-7));
  for (let step = 0; step < 5; step++) {
    const a = times(y, turned(y));
    y = plus(by(y, 3.4445), times(plus(by(a, -4.775), by(times(a, a), 2.0315)), y));
  }
  return tall ? turned(y) : y;
}

/** Momentum made orthogonal, each block of columns on its own; the decay is decoupled. */
function muon(
  { parameters, first }: PlainState,
  { name, shape, blocks = 1 }: ParameterSpec,
  gradient: readonly number[],
  rate: number,
  config: Extract<OptimiserConfig, { name: 'muon' }>,
): void {
  const [p, b] = [parameters[name], first[name]] as [number[], number[]];
  const [rows, columns] = shape as readonly [number, number];
  const mixed = gradient.map((g, i) => {
    b[i] = config.momentum * (b[i] as number) + (1 - config.momentum) * g;
    return config.momentum * (b[i] as number) + (1 - config.momentum) * g;
  });
  const width = columns / blocks;
  for (let block = 0; block < blocks; block++) {
    const part = Array.from({ length: rows }, (_, r) =>
      mixed.slice(r * columns + block * width, r * columns + (block + 1) * width),
    );
    const direction = by(plainOrthogonal(part), Math.sqrt(Math.max(1, width / rows)));
    direction.forEach((row, r) =>
      row.forEach((d, c) => {
        const i = r * columns + block * width + c;
        p[i] = (p[i] as number) * (1 - rate * config.weightDecay) - rate * d;
      }),
    );
  }
}
