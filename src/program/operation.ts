/**
 * What an op is: one record with its shape rule, its gradient, its ONNX form and its meaning in float64;
 * and the table of all ops. Knows no op by name.
 */
import { InkstoneError } from '../base/errors.ts';
import type { DType } from '../base/tensor.ts';
import { callerLine } from './caller.ts';
import { showShape } from './size.ts';
import type { Attributes, Node, Program, Shape, Size, Tensor, TensorType } from './types.ts';

/** Values of the oracle: float64 whatever the dtype (whole numbers and 0/1 are exact in it). */
export interface ReferenceValue {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export interface VjpCall<A extends Attributes> {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attributes: A;
  /** One per output; undefined where nothing flows back. */
  readonly cotangents: readonly (Tensor | undefined)[];
  /** Which inputs are asked for; the others' answers are thrown away. */
  readonly needed: readonly boolean[];
}

export interface OnnxCall<A extends Attributes> {
  readonly node: Node;
  readonly attributes: A;
  /** Names of the inputs in the ONNX graph. */
  readonly inputs: readonly string[];
  readonly types: readonly TensorType[];
  readonly outputTypes: readonly TensorType[];
  /** Standard ops only (for exported files), or ONNX Runtime's own domain too. */
  readonly portable: boolean;
  /** Adds a node with one output and returns its name. */
  emit(op: string, inputs: readonly string[], attributes?: OnnxAttributes, domain?: string): string;
  /** Adds a node with several outputs; '' leaves one out. */
  emitMany(
    op: string,
    inputs: readonly string[],
    outputs: number,
    attributes?: OnnxAttributes,
    domain?: string,
  ): string[];
  /** The name of a value that several nodes may want: made at the first call with this key. */
  once(key: string, make: () => string): string;
  /** A 1-D i64 constant. */
  integers(values: readonly number[]): string;
  /** A scalar constant of a dtype. */
  scalar(value: number, dtype: DType): string;
  /** A 1-D i64 tensor with these sizes, computed in the graph where they are symbolic. */
  shape(shape: Shape): string;
  /** A name for a tensor of 1-D i64 that holds one size. */
  size(size: Size): string;
  /** The node that made an input, to look through views. */
  lookup(tensor: Tensor): string;
  /** Lowers a program as a sub-graph (bodies of scan); captured inputs are values of the outer graph. */
  subgraph(program: Program, captured: Readonly<Record<string, string>>): unknown;
}

export type OnnxAttribute =
  | number
  | string
  | readonly number[]
  | { float: number }
  | { floats: readonly number[] }
  | { graph: unknown };
export type OnnxAttributes = Readonly<Record<string, OnnxAttribute | undefined>>;

export interface ReferenceCall<A extends Attributes> {
  readonly inputs: readonly ReferenceValue[];
  readonly attributes: A;
  /** Output types with every size known. */
  readonly outputs: readonly { dtype: DType; shape: readonly number[] }[];
  readonly types: readonly TensorType[];
  /** Runs a program on values (bodies of scan). */
  evaluate(program: Program, inputs: readonly ReferenceValue[]): ReferenceValue[];
}

export interface Operation<A extends Attributes = Attributes> {
  readonly name: string;
  infer(inputs: readonly TensorType[], attributes: A): readonly TensorType[];
  /** Cotangents of the inputs, built from differentiable ops; `null` where nothing flows (integers, logic). */
  readonly vjp: ((call: VjpCall<A>) => readonly (Tensor | undefined)[]) | null;
  onnx(call: OnnxCall<A>): string | readonly string[];
  reference(call: ReferenceCall<A>): readonly Float64Array[];
  /** The same meaning in primitives: the fused form is tested against it. */
  composite?(inputs: readonly Tensor[], attributes: A): readonly Tensor[];
}

const table = new Map<string, Operation>();

/** Enters an op in the table and returns the function that applies it. */
export function define<A extends Attributes>(
  operation: Operation<A>,
): (inputs: readonly Tensor[], attributes: A) => readonly Tensor[] {
  if (table.has(operation.name))
    throw new InkstoneError('op_twice', `the op ${operation.name} is defined twice`);
  table.set(operation.name, operation as unknown as Operation);
  return (inputs, attributes) => apply(operation as unknown as Operation, inputs, attributes);
}

export function operationOf(name: string): Operation {
  const operation = table.get(name);
  if (operation === undefined) throw new InkstoneError('op_unknown', `there is no op named ${name}`);
  return operation;
}

export function operationNames(): string[] {
  return [...table.keys()].sort();
}

let counter = 0;

/** Makes a node. @throws InkstoneError `shape_mismatch`, `dtype_mismatch` with the caller's line */
export function apply(
  operation: Operation,
  inputs: readonly Tensor[],
  attributes: Attributes,
): readonly Tensor[] {
  return makeNode(operation.name, inputs, attributes, operation.infer(inputs, attributes)).outputs;
}

export function makeNode(
  op: string,
  inputs: readonly Tensor[],
  attributes: Attributes,
  types: readonly TensorType[],
): Node {
  const outputs: Tensor[] = [];
  const node: Node = { id: counter++, op, inputs, attributes, outputs, where: '' };
  types.forEach((type, index) => {
    outputs.push({ dtype: type.dtype, shape: type.shape, node, index });
  });
  return node;
}

/** Re-makes a node with other inputs (types inferred anew). */
export function remake(
  node: Node,
  inputs: readonly Tensor[],
  attributes: Attributes = node.attributes,
): readonly Tensor[] {
  return apply(operationOf(node.op), inputs, attributes);
}

/** Throws the error every shape rule throws. */
export function shapeError(op: string, problem: string, types: readonly TensorType[], hint?: string): never {
  const where = callerLine();
  const shapes = types.map((t) => `${t.dtype}${showShape(t.shape)}`).join(' and ');
  throw new InkstoneError(
    'shape_mismatch',
    `${op}: ${problem}: ${shapes}${where === '' ? '' : ` (at ${where})`}`,
    {
      kind: 'usage',
      ...(hint === undefined ? {} : { hint }),
      details: { op, shapes: types.map((t) => t.shape), where },
    },
  );
}
