/**
 * Makes a program smaller without changing what it means: folds constants, drops identities and explicit
 * broadcasts that the next op does by itself, shares equal nodes, forgets dead ones.
 */
import type { HostTensor } from '../base/tensor.ts';
import { evaluateNode, toReference } from './evaluate.ts';
import { hostOf, numbersOf } from './host-value.ts';
import { remake } from './operation.ts';
import { constant } from './ops/constant.ts';
import { isStatic, sameShape } from './size.ts';
import { isProgram, rewrite } from './trace.ts';
import type { Node, Program, Shape, Tensor } from './types.ts';

/** Results larger than this stay nodes: a folded constant is stored in the graph. */
const FOLD_LIMIT = 4096;
const BROADCASTING = new Set([
  'add',
  'sub',
  'mul',
  'div',
  'pow',
  'maximum',
  'minimum',
  'equal',
  'less',
  'lessEqual',
  'logicalAnd',
  'logicalOr',
  'where',
]);

export function simplify(program: Program): Program {
  const known = new Map<string, readonly Tensor[]>();
  const used = usedTensors(program);
  return rewrite(program, (node, inputs) => simplifyNode(withoutHistory(node, used), inputs, known));
}

function simplifyNode(
  node: Node,
  given: readonly Tensor[],
  known: Map<string, readonly Tensor[]>,
): readonly Tensor[] {
  const inputs = BROADCASTING.has(node.op)
    ? withoutBroadcasts(given, (node.outputs[0] as Tensor).shape)
    : given;
  const same = identity(node, inputs);
  if (same !== undefined) return [same];
  const key = keyOf(node, inputs);
  const before = known.get(key);
  if (before !== undefined) return before;
  const results = nothing(node) ?? fold(node, inputs) ?? remake(node, inputs, simplifyBodies(node));
  known.set(key, results);
  return results;
}

function usedTensors(program: Program): Set<Tensor> {
  return new Set([...program.nodes.flatMap((node) => node.inputs), ...program.outputs.map((o) => o.tensor)]);
}

/** A scan whose kept carries nobody reads (no gradient was taken) need not keep them. */
function withoutHistory(node: Node, used: ReadonlySet<Tensor>): Node {
  if (node.op !== 'scan' || node.attributes.history !== true) return node;
  const kept = node.outputs.slice(-(node.attributes.carries as number));
  if (node.attributes.carries === 0 || kept.some((t) => used.has(t))) return node;
  return { ...node, attributes: { ...node.attributes, history: false } };
}

function simplifyBodies(node: Node): Node['attributes'] {
  if (!Object.values(node.attributes).some(isProgram)) return node.attributes;
  return Object.fromEntries(
    Object.entries(node.attributes).map(([k, v]) => [k, isProgram(v) ? simplify(v) : v]),
  );
}

/** Operands that the op broadcasts by itself need no Expand in front. */
function withoutBroadcasts(inputs: readonly Tensor[], shape: Shape): Tensor[] {
  const result = [...inputs];
  result.forEach((tensor, i) => {
    if (tensor.node.op !== 'broadcastTo') return;
    const source = tensor.node.inputs[0] as Tensor;
    // The operands must still span each axis, and one of them the rank (axes of size 1 count there, too).
    const others = result.map((other, j) => (j === i ? source : other));
    const spanned =
      others.some((other) => other.shape.length === shape.length) &&
      shape.every((size, axis) => size === 1 || others.some((other) => sizeAt(other, axis, shape) === size));
    if (spanned) result[i] = source;
  });
  return result;
}

function sizeAt(x: Tensor, axis: number, shape: Shape): number | string {
  return x.shape[axis - shape.length + x.shape.length] ?? 1;
}

function identity(node: Node, inputs: readonly Tensor[]): Tensor | undefined {
  const [a, b] = inputs;
  const out = node.outputs[0] as Tensor;
  const keeps = (x: Tensor | undefined): Tensor | undefined =>
    x !== undefined && x.dtype === out.dtype && sameShape(x.shape, out.shape) ? x : undefined;
  switch (node.op) {
    case 'stopGradient':
      return keeps(a);
    case 'add':
      return isScalar(b, 0) ? keeps(a) : isScalar(a, 0) ? keeps(b) : undefined;
    case 'sub':
      return isScalar(b, 0) ? keeps(a) : undefined;
    case 'mul':
      return isScalar(b, 1) ? keeps(a) : isScalar(a, 1) ? keeps(b) : undefined;
    case 'div':
    case 'pow':
      return isScalar(b, 1) ? keeps(a) : undefined;
    case 'neg':
      return a?.node.op === 'neg' ? keeps(a.node.inputs[0]) : undefined;
    case 'reshape':
      if (a?.node.op === 'reshape')
        return keeps(a.node.inputs[0]) ?? remake(node, [a.node.inputs[0] as Tensor])[0];
      return keeps(a);
    case 'cast':
    case 'broadcastTo':
      return keeps(a);
    case 'transpose': {
      if (a?.node.op !== 'transpose') return undefined;
      const inner = a.node.attributes.permutation as readonly number[];
      const joined = (node.attributes.permutation as readonly number[]).map((axis) => inner[axis] as number);
      const source = a.node.inputs[0] as Tensor;
      return joined.every((axis, i) => axis === i)
        ? keeps(source)
        : remake(node, [source], { permutation: joined })[0];
    }
    default:
      return undefined;
  }
}

function isScalar(x: Tensor | undefined, value: number): boolean {
  const scalar = x === undefined ? undefined : scalarOf(x);
  return scalar === value;
}

/** The one value of a constant or filled tensor. */
function scalarOf(x: Tensor): number | undefined {
  if (x.node.op === 'fill') return x.node.attributes.value as number;
  if (x.node.op === 'broadcastTo' || x.node.op === 'reshape') return scalarOf(x.node.inputs[0] as Tensor);
  if (x.node.op !== 'constant') return undefined;
  const value = x.node.attributes.value as HostTensor;
  return value.data.length === 1 ? numbersOf(value)[0] : undefined;
}

/** Results without elements need no computing (which runtimes are not safe at: some crash). */
function nothing(node: Node): readonly Tensor[] | undefined {
  return node.outputs.every((t) => isStatic(t.shape) && t.shape.includes(0))
    ? node.outputs.map((t) => constant(hostOf(t.dtype, t.shape as readonly number[], [])))
    : undefined;
}

function fold(node: Node, inputs: readonly Tensor[]): readonly Tensor[] | undefined {
  const whole = inputs.length > 0 && inputs.every((t) => t.node.op === 'constant');
  if (
    !whole ||
    node.op === 'barrier' ||
    !node.outputs.every((t) => isStatic(t.shape) && t.shape.reduce((a, b) => a * b, 1) <= FOLD_LIMIT)
  )
    return undefined;
  const results = evaluateNode(
    remake(node, inputs)[0]?.node as Node,
    inputs.map((t) => toReference(t.node.attributes.value as HostTensor)),
  );
  return results.map((value, i) =>
    constant(hostOf((node.outputs[i] as Tensor).dtype, value.shape, Array.from(value.data))),
  );
}

let bodies = 0;
const bodyIds = new WeakMap<object, number>();

function keyOf(node: Node, inputs: readonly Tensor[]): string {
  const attributes = JSON.stringify(node.attributes, (_, value) => {
    if (isProgram(value)) {
      if (!bodyIds.has(value)) bodyIds.set(value, bodies++);
      return `program ${bodyIds.get(value)}`;
    }
    if (ArrayBuffer.isView(value)) {
      const view = value as unknown as ArrayLike<number | bigint> & object;
      if (view.length > 16) {
        if (!bodyIds.has(view)) bodyIds.set(view, bodies++);
        return `data ${bodyIds.get(view)}`;
      }
      return Array.from(view, (v) => (Object.is(v, -0) ? '-0' : String(v))).join();
    }
    return Object.is(value, -0) ? '-0' : value;
  });
  return `${node.op}(${inputs.map((t) => `${t.node.id}.${t.index}`).join()})${attributes}`;
}
