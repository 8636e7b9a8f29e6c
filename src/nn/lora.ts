/**
 * Low-rank adapters (Hu et al. 2022): W + (α/r)·A·B with only A and B learning. Wraps the loss of any model; merges
 * into plain weights and out of them. Knows no architecture.
 */
import type { HostTensor, HostTensors } from '../base/tensor.ts';
import { add, matmul, mul, type Tensor } from '../program/index.ts';
import { type ParameterSpec, parameterTypes } from './parameters.ts';
import type { LossProgram } from './train-step.ts';

export interface LoraOptions {
  rank: number;
  /** The adapter's strength is alpha / rank. */
  alpha: number;
}

const adapted = (spec: ParameterSpec): boolean => spec.role === 'matrix' && spec.shape.length === 2;

/** `NAME.lora_a` `[rows, rank]` starts random, `NAME.lora_b` `[rank, columns]` at zero: the model starts as it was. */
export function loraParameters(specs: readonly ParameterSpec[], { rank }: LoraOptions): ParameterSpec[] {
  return specs.filter(adapted).flatMap(({ name, shape }): ParameterSpec[] => {
    const [rows, columns] = shape as readonly [number, number];
    return [
      {
        name: `${name}.lora_a`,
        shape: [rows, rank],
        initialiser: { name: 'normal', deviation: 1 / Math.sqrt(rank) },
        role: 'vector',
      },
      { name: `${name}.lora_b`, shape: [rank, columns], initialiser: { name: 'zeros' }, role: 'vector' },
    ];
  });
}

/** Parameters as the network sees them. */
function effective(
  x: Readonly<Record<string, Tensor>>,
  specs: readonly ParameterSpec[],
  { rank, alpha }: LoraOptions,
): Record<string, Tensor> {
  const changed = specs.filter(adapted).map(({ name }) => {
    const change = matmul(x[`${name}.lora_a`] as Tensor, x[`${name}.lora_b`] as Tensor);
    return [name, add(x[name] as Tensor, mul(change, alpha / rank))] as const;
  });
  return { ...x, ...Object.fromEntries(changed) };
}

/** The model with its own parameters frozen and adapters that learn. */
export function withLora(model: LossProgram, options: LoraOptions): LossProgram {
  return {
    specs: loraParameters(model.specs, options),
    frozen: parameterTypes(model.specs),
    inputs: model.inputs,
    loss: (x, dropout) => model.loss(effective(x, model.specs, options), dropout),
    dropped: model.dropped,
  };
}

/** What an adapter adds to a matrix, rounded once to f32; undefined for what has no adapter. */
function changeOf(
  { shape }: HostTensor,
  [a, b]: readonly (HostTensor | undefined)[],
  { rank, alpha }: LoraOptions,
): Float32Array<ArrayBuffer> | undefined {
  if (a === undefined || b === undefined) return undefined;
  const [rows, columns] = shape as readonly [number, number];
  const change = new Float32Array(rows * columns);
  const row = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    row.fill(0);
    for (let r = 0; r < rank; r++) {
      const left = (alpha / rank) * ((a.data as Float32Array)[i * rank + r] as number);
      for (let j = 0; j < columns; j++)
        row[j] = (row[j] as number) + left * ((b.data as Float32Array)[r * columns + j] as number);
    }
    change.set(row, i * columns);
  }
  return change;
}

/** Each adapted matrix, number by number. */
function eachAdapted(
  weights: HostTensors,
  adapters: HostTensors,
  options: LoraOptions,
  of: (weight: number, change: number, place: number, name: string) => number,
): [string, HostTensor<'f32'>][] {
  return Object.entries(weights).flatMap(([name, weight]) => {
    const change = changeOf(weight, [adapters[`${name}.lora_a`], adapters[`${name}.lora_b`]], options);
    if (change === undefined) return [];
    const own = weight.data as Float32Array;
    const data = Float32Array.from(own, (value, i) => of(value, change[i] as number, i, name));
    return [[name, { dtype: 'f32', shape: weight.shape, data }]];
  });
}

/** Plain weights that need no adapter. */
export const mergeLora = (
  weights: HostTensors,
  adapters: HostTensors,
  options: LoraOptions,
): HostTensors => ({
  ...weights,
  ...Object.fromEntries(eachAdapted(weights, adapters, options, (weight, change) => weight + change)),
});

/** What rounding took from each merged number: with it `unmergeLora` gives back the very same weights. */
export const mergeRemainders = (
  weights: HostTensors,
  adapters: HostTensors,
  options: LoraOptions,
): HostTensors =>
  Object.fromEntries(
    // Sums of two f32 are exact in f64, and what f32 loses of them is itself an f32 (Dekker 1971).
    eachAdapted(
      weights,
      adapters,
      options,
      (weight, change) => weight + change - Math.fround(weight + change),
    ),
  );

/** The weights before the merge: the same bits with the remainders, else within one rounding of the merged number. */
export function unmergeLora(
  merged: HostTensors,
  adapters: HostTensors,
  options: LoraOptions,
  remainders: HostTensors = {},
): HostTensors {
  const lost = (name: string, place: number): number =>
    ((remainders[name]?.data as Float32Array | undefined)?.[place] as number | undefined) ?? 0;
  const before = eachAdapted(
    merged,
    adapters,
    options,
    (value, change, place, name) => value + lost(name, place) - change,
  );
  return { ...merged, ...Object.fromEntries(before) };
}
