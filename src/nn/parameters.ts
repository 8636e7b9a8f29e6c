/** Parameters as data: what a model has, and how each starts. Knows shapes and distributions, no model. */
import { Random } from '../base/rng.ts';
import { type HostTensor, type HostTensors, sizeOf, zeros } from '../base/tensor.ts';
import type { TensorType } from '../program/types.ts';

export type Initialiser =
  | { name: 'zeros' }
  | { name: 'ones' }
  | { name: 'normal'; deviation: number }
  | { name: 'uniform'; bound: number };

export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly initialiser: Initialiser;
  /** What the optimiser may do: matrices decay (and suit Muon), vectors and embeddings have rules of their own. */
  readonly role: 'matrix' | 'embedding' | 'vector';
  /** How many matrices stand side by side in this one (3 for joined query, key and value). */
  readonly blocks?: number;
}

/** Glorot and Bengio 2010, normal form. */
export function glorot(fanIn: number, fanOut: number): Initialiser {
  return { name: 'normal', deviation: Math.sqrt(2 / (fanIn + fanOut)) };
}

/** He et al. 2015, for ReLU. */
export function kaiming(fanIn: number): Initialiser {
  return { name: 'normal', deviation: Math.sqrt(2 / fanIn) };
}

/** Starting values; each parameter has a random stream of its own, so adding one changes no other. */
export function initialise(specs: readonly ParameterSpec[], seed: number): HostTensors {
  return Object.fromEntries(specs.map((spec) => [spec.name, start(spec, seed)]));
}

function start({ name, shape, initialiser }: ParameterSpec, seed: number): HostTensor {
  const made = zeros('f32', shape);
  const random = new Random(seed, `parameter ${name}`);
  const { data } = made;
  switch (initialiser.name) {
    case 'zeros':
      break;
    case 'ones':
      data.fill(1);
      break;
    case 'normal':
      for (let i = 0; i < data.length; i++) data[i] = random.normal() * initialiser.deviation;
      break;
    case 'uniform':
      for (let i = 0; i < data.length; i++) data[i] = (random.uniform() * 2 - 1) * initialiser.bound;
      break;
  }
  return made;
}

export function countParameters(specs: readonly ParameterSpec[]): number {
  return specs.reduce((total, { shape }) => total + sizeOf(shape), 0);
}

/** Program inputs for the parameters. */
export function parameterTypes(specs: readonly ParameterSpec[]): Record<string, TensorType> {
  return Object.fromEntries(specs.map(({ name, shape }) => [name, { dtype: 'f32', shape }]));
}
