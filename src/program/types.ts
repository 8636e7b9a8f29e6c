/**
 * What a tensor program is: typed values, nodes in order, named inputs and outputs.
 * Types only; building is in trace.ts, rules of each op in ops/.
 */
import type { DType, HostTensor } from '../base/tensor.ts';

/** A known size, or a symbolic one: a polynomial over names in canonical form (`batch`, `batch*time`, `1+past`). */
export type Size = number | string;
export type Shape = readonly Size[];

export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

export type Attribute =
  | number
  | string
  | boolean
  | readonly number[]
  | readonly Size[]
  | readonly (readonly number[])[]
  | HostTensor
  | Program
  | undefined;
export type Attributes = Readonly<Record<string, Attribute>>;

/** One output of one node. `shape` and `dtype` are known when it is made. */
export interface Tensor extends TensorType {
  readonly node: Node;
  /** Which output of the node. */
  readonly index: number;
}

export interface Node {
  /** Rises in the order of making; inputs always have smaller ids. */
  readonly id: number;
  readonly op: string;
  readonly inputs: readonly Tensor[];
  readonly attributes: Attributes;
  readonly outputs: readonly Tensor[];
  /** `file:line` of the caller, for errors; empty where it was not looked for. */
  readonly where: string;
}

export interface Named {
  readonly name: string;
  readonly tensor: Tensor;
}

/** Nodes in an order in which every input comes before its use. Inputs are nodes of op `input`. */
export interface Program {
  readonly name: string;
  readonly inputs: readonly Named[];
  readonly outputs: readonly Named[];
  readonly nodes: readonly Node[];
}

/** A record, list or single leaf; parameters are trees of tensors. */
export type Tree<T> = T | readonly Tree<T>[] | { readonly [name: string]: Tree<T> };
