/** How the cases of the golden files are said with our ops. Attributes are those that tools/golden writes. */

import { tensor } from '../../src/base/tensor.ts';
import { crossEntropy, crossEntropyRows } from '../../src/nn/loss.ts';
import { clipByNorm, optimiserState, SCALARS, scalarsAt, updateParameters } from '../../src/nn/optimiser.ts';
import type { OptimiserConfig } from '../../src/nn/training-config.ts';
import * as p from '../../src/program/index.ts';
import { iota, less, reshape, type Tensor, where } from '../../src/program/index.ts';

// biome-ignore lint/suspicious/noExplicitAny: attributes come from JSON, each op knows its own
type Attributes = any;
/** Inputs in the order of the file; the outputs in its order. */
export type Operation = (inputs: Tensor[], attributes: Attributes) => Tensor[];

const single =
  (f: (...xs: Tensor[]) => Tensor): Operation =>
  (xs) => [f(...xs)];

const reduction =
  (f: (x: Tensor, options: { axes: readonly number[]; keep: boolean }) => Tensor): Operation =>
  ([x], { axes, keep }) => [f(x!, { axes, keep })];

const SIMPLE = {
  ...{ neg: p.neg, abs: p.abs, sign: p.sign, exp: p.exp, log: p.log, sqrt: p.sqrt, sin: p.sin, cos: p.cos },
  ...{ tanh: p.tanh, erf: p.erf, sigmoid: p.sigmoid, floor: p.floor, ceil: p.ceil, round: p.round },
  ...{ relu: p.relu, softplus: p.softplus, silu: p.silu, square: p.square, reciprocal: p.reciprocal },
  ...{ add: p.add, sub: p.sub, mul: p.mul, div: p.div, pow: p.pow, mod: p.mod, maximum: p.maximum },
  ...{ minimum: p.minimum, equal: p.equal, less: p.less, lessEqual: p.lessEqual, greater: p.greater },
  ...{ greaterEqual: p.greaterEqual, notEqual: p.notEqual, logicalAnd: p.logicalAnd, logicalOr: p.logicalOr },
  ...{ logicalNot: p.logicalNot, where: p.where, matmul: p.matmul, geluTanh: p.gelu },
} as unknown as Record<string, (...xs: Tensor[]) => Tensor>;

/** −1e9 above the diagonal. */
function causal(time: number): Tensor {
  const place = iota(time);
  return where(less(reshape(place, [time, 1]), reshape(place, [1, time])), -1e9, 0);
}

function lstm([x, h, c, fromInput, fromHidden, bias]: Tensor[]): Tensor[] {
  const hidden = h!.shape[1] as number;
  const { carry, results } = p.scan(
    {
      carry: { h: h!, c: c! },
      sequences: { x: x! },
      constants: { a: fromInput!, b: fromHidden!, bias: bias! },
    },
    ({ carry, row, constants }) => {
      const given = p.matmul(row.x!, p.swapAxes(constants.a!));
      const own = p.matmul(carry.h!, p.swapAxes(constants.b!));
      const gates = p.add(p.add(given, own), constants.bias!);
      const [i, f, g, o] = p.split(gates, [hidden, hidden, hidden, hidden], 1) as [
        Tensor,
        Tensor,
        Tensor,
        Tensor,
      ];
      const cell = p.add(p.mul(p.sigmoid(f), carry.c!), p.mul(p.sigmoid(i), p.tanh(g)));
      const next = p.mul(p.sigmoid(o), p.tanh(cell));
      return { carry: { h: next, c: cell }, results: { h: next } };
    },
  );
  return [results.h!, carry.h!, carry.c!];
}

function decay([x, s, rate]: Tensor[]): Tensor[] {
  const { carry, results } = p.scan(
    { carry: { s: s! }, sequences: { x: x! }, constants: { rate: rate! } },
    ({ carry, row, constants }) => {
      const next = p.add(p.mul(carry.s!, constants.rate!), row.x!);
      return { carry: { s: next }, results: { s: next } };
    },
  );
  return [results.s!, carry.s!];
}

/** Runs the steps of an optimiser one after another in a single program. */
const optimiser =
  (configOf: (attributes: Attributes) => OptimiserConfig): Operation =>
  ([start, ...gradients], attributes) => {
    const config = configOf(attributes);
    const shape = start!.shape as readonly number[];
    const spec = { name: 'w', shape, initialiser: { name: 'zeros' as const }, role: 'matrix' as const };
    const zero = p.fill(0, shape);
    let state = Object.fromEntries(Object.keys(optimiserState([spec], config)).map((name) => [name, zero]));
    let value = start!;
    return gradients.map((g, step) => {
      const at = scalarsAt(step, attributes.rate, config);
      const scalars = Object.fromEntries(SCALARS.map((n) => [n, p.constant(tensor('f32', [], [at[n]]))]));
      const call = { specs: [spec], parameters: { w: value }, gradients: { w: g }, state, scalars, config };
      const { w, ...rest } = updateParameters(call);
      value = w as Tensor;
      state = { ...state, ...rest };
      return value;
    });
  };

const betas = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 };

export const OPERATIONS: Record<string, Operation> = {
  ...Object.fromEntries(Object.entries(SIMPLE).map(([name, f]) => [name, single(f)])),
  cast: ([x], { to }) => [p.cast(x!, to)],
  stopGradient: ([x]) => [p.stopGradient(x!), p.mul(p.stopGradient(x!), x!)],
  leakyRelu: single((x) => p.leakyRelu(x, 0.2)),
  geluErf: single((x) => p.mul(p.mul(x, 0.5), p.add(1, p.erf(p.mul(x, Math.SQRT1_2))))),
  sum: reduction(p.sum),
  mean: reduction(p.mean),
  max: reduction(p.max),
  min: reduction(p.min),
  prod: reduction(p.prod),
  variance: reduction(p.variance),
  logSumExp: reduction(p.logSumExp),
  cumsum: ([x], { axis }) => [p.cumsum(x!, axis)],
  argmax: ([x], { axis }) => [p.argmax(x!, axis)],
  argmin: ([x], { axis }) => [p.argmin(x!, axis)],
  gather: ([x, i], { axis }) => [p.gather(x!, i!, axis)],
  gatherElements: ([x, i], { axis }) => [p.gatherElements(x!, i!, axis)],
  scatterElements: ([u, i], { axis, size }) => [p.scatterElements(u!, i!, size, axis)],
  scatterAdd: ([u, i], { axis, size }) => [p.scatterAdd(u!, i!, size, axis)],
  sort: ([x], options) => Object.values(p.sort(x!, options)),
  topK: ([x], { k, axis, largest }) => Object.values(p.topK(x!, k, { axis, largest })),
  transpose: ([x], { permutation }) => [p.transpose(x!, permutation)],
  reshape: ([x], { shape }) => [p.reshape(x!, shape)],
  broadcastTo: ([x], { shape }) => [p.broadcastTo(x!, shape)],
  concat: (xs, { axis }) => [p.concat(xs, axis)],
  split: ([x], { sizes, axis }) => p.split(x!, sizes, axis),
  slice: ([x], options) => [p.slice(x!, options)],
  reverse: ([x], { axis }) => [p.reverse(x!, axis)],
  pad: ([x], { pads, value }) => [p.pad(x!, pads, value)],
  conv: ([x, w], options) => [p.conv(x!, w!, options)],
  convTranspose: ([x, w], options) => [p.convTranspose(x!, w!, options)],
  maxPool: ([x], { kernel, ...options }) => [p.maxPool(x!, kernel, options)],
  averagePool: ([x], { kernel, ...options }) => [p.averagePool(x!, kernel, options)],
  resize: ([x], { sizes, mode }) => [p.resize(x!, sizes, mode)],
  softmax: ([x], { axis }) => [p.softmax(x!, axis)],
  logSoftmax: ([x], { axis }) => [p.logSoftmax(x!, axis)],
  layerNorm: ([x, scale, bias], { epsilon }) => [p.layerNorm(x!, scale!, bias, epsilon)],
  groupNorm: ([x, scale, bias], options) => [p.groupNorm(x!, scale!, bias!, options)],
  rmsNorm: ([x, scale], { epsilon }) => [p.rmsNorm(x!, scale!, epsilon)],
  skipRmsNorm: ([a, b, scale], { epsilon }) => p.skipRmsNorm(a!, b!, scale!, epsilon),
  rotate: ([x, cos, sin]) => [p.rotate(x!, { cos: cos!, sin: sin! })],
  dequantise: ([blocks, scales], layout) => [p.dequantise(blocks!, scales!, layout)],
  quantisedMatmul: ([x, ...matrix], layout) => [
    p.quantisedMatmul(x!, matrix[0]!, matrix[1]!, layout, { exact: true }),
  ],
  crossEntropyRows: ([x, t]) => [crossEntropyRows(x!, t!)],
  crossEntropy: ([x, t]) => [crossEntropy(x!, t!)],
  attention: ([q, k, v], options) => [p.attention(q!, k!, v!, options)],
  causalAttention: ([q, k, v]) => [p.attention(q!, k!, v!, { mask: causal(q!.shape[2] as number) })],
  lstm,
  decay,
  adamw: optimiser(({ beta1, beta2, epsilon, weightDecay }) => ({
    name: 'adamw',
    beta1,
    beta2,
    epsilon,
    weightDecay,
  })),
  sgd: optimiser(({ momentum, nesterov, weightDecay }) => ({ name: 'sgd', momentum, nesterov, weightDecay })),
  muon: optimiser(({ momentum, weightDecay }) => ({
    name: 'muon',
    momentum,
    weightDecay,
    adamRate: 1,
    ...betas,
  })),
  clipByNorm: (gradients, { limit }) => {
    const { norm, scale } = clipByNorm(gradients, limit);
    return [norm, ...gradients.map((g) => (scale === undefined ? g : p.mul(g, scale)))];
  },
};
