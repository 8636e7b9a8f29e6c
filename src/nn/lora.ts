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

/** Adds (sign 1) or takes away (sign −1) the adapters: plain weights that need no adapter. */
export function mergeLora(
  weights: HostTensors,
  adapters: HostTensors,
  { rank, alpha }: LoraOptions,
  sign: 1 | -1 = 1,
): HostTensors {
  return Object.fromEntries(
    Object.entries(weights).map(([name, weight]) => {
      const [a, b] = [adapters[`${name}.lora_a`], adapters[`${name}.lora_b`]];
      if (a === undefined || b === undefined) return [name, weight];
      const [rows, columns] = weight.shape as readonly [number, number];
      const data = Float32Array.from(weight.data as Float32Array);
      const scale = (sign * alpha) / rank;
      for (let i = 0; i < rows; i++) {
        for (let r = 0; r < rank; r++) {
          const left = scale * ((a.data as Float32Array)[i * rank + r] as number);
          for (let j = 0; j < columns; j++)
            data[i * columns + j] =
              (data[i * columns + j] as number) +
              left * ((b.data as Float32Array)[r * columns + j] as number);
        }
      }
      return [name, { dtype: 'f32', shape: weight.shape, data } as HostTensor];
    }),
  );
}
