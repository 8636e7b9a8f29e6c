/**
 * Reverse-mode differentiation on the graph: cotangents are tensors of the same graph, so gradients can
 * be differentiated again. Knows ops only by their records.
 * Source: Griewank and Walther, Evaluating Derivatives, ch. 3 (reverse mode), ch. 12 (checkpointing).
 */
import { InkstoneError } from '../base/errors.ts';
import { operationOf, remake } from './operation.ts';
import { barrier } from './ops/barrier.ts';
import { fill, isTensor } from './ops/constant.ts';
import { add } from './ops/elementwise.ts';
import { flatten, mapTree } from './tree.ts';
import type { Node, Tensor, Tree } from './types.ts';

/** Nodes that are computed again on the way back instead of being kept. */
interface Region {
  readonly nodes: readonly Node[];
}

const regionOf = new WeakMap<Node, Region>();

/** All nodes that `outputs` rest on, inputs first. */
export function ancestors(outputs: readonly Tensor[], stopAt?: ReadonlySet<Node>): Node[] {
  const seen = new Set<Node>();
  const stack = outputs.map((t) => t.node);
  while (stack.length > 0) {
    const node = stack.pop() as Node;
    if (seen.has(node) || stopAt?.has(node) === true) continue;
    seen.add(node);
    for (const input of node.inputs) stack.push(input.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/**
 * Gradients of a scalar with respect to `xs`. A tensor the result does not rest on gets zeros.
 * @throws InkstoneError `not_scalar`
 */
export function gradients(y: Tensor, xs: readonly Tensor[]): Tensor[] {
  if (y.shape.length !== 0) {
    throw new InkstoneError('not_scalar', `only a scalar has a gradient, not [${y.shape.join(', ')}]`, {
      kind: 'usage',
      hint: 'take the sum or the mean first',
    });
  }
  return gradientsOf([y], [fill(1, [], y.dtype)], xs);
}

/** Gradients of Σ outputs·seeds (a seed left out counts as zero). */
export function gradientsOf(
  outputs: readonly Tensor[],
  seeds: readonly (Tensor | undefined)[],
  xs: readonly Tensor[],
): Tensor[] {
  const sources = new Set(xs);
  const nodes = ancestors(outputs);
  const active = new Set<Tensor>();
  for (const node of nodes) {
    const flows = operationOf(node.op).vjp !== null && node.inputs.some((t) => active.has(t));
    for (const output of node.outputs) if (flows || sources.has(output)) active.add(output);
  }
  const cotangents = new Map<Tensor, Tensor>();
  const accumulate = (t: Tensor, g: Tensor): void => {
    const before = cotangents.get(t);
    cotangents.set(t, before === undefined ? g : add(before, g));
  };
  outputs.forEach((y, i) => {
    if (seeds[i] !== undefined) accumulate(y, seeds[i]);
  });
  const recomputed = new Map<Region, Map<Tensor, Tensor>>();
  for (const node of nodes.reverse()) {
    const flow = node.outputs.map((t) => cotangents.get(t));
    const { vjp } = operationOf(node.op);
    const needed = node.inputs.map((t) => active.has(t));
    if (vjp === null || flow.every((g) => g === undefined) || !needed.includes(true)) continue;
    let { inputs, outputs: made } = node;
    const region = regionOf.get(node);
    if (region !== undefined) {
      let copies = recomputed.get(region);
      if (copies === undefined) {
        copies = recompute(region, flow.find((g) => g !== undefined) as Tensor);
        recomputed.set(region, copies);
      }
      inputs = inputs.map((t) => copies.get(t) ?? t);
      made = made.map((t) => copies.get(t) ?? t);
    }
    const back = vjp({ inputs, outputs: made, attributes: node.attributes, cotangents: flow, needed });
    node.inputs.forEach((input, i) => {
      const g = back[i];
      if (g !== undefined && needed[i] === true) accumulate(input, g);
    });
  }
  return xs.map((x) => cotangents.get(x) ?? fill(0, x.shape, x.dtype));
}

/** Makes the region's nodes anew, bound to a cotangent so that no runtime can compute them early. */
function recompute(region: Region, after: Tensor): Map<Tensor, Tensor> {
  const copies = new Map<Tensor, Tensor>();
  const inside = new Set(region.nodes);
  for (const node of region.nodes) {
    for (const input of node.inputs) {
      const outside = !inside.has(input.node) && input.node.op !== 'constant';
      if (outside && !copies.has(input)) copies.set(input, barrier(input, after));
    }
    const outputs = remake(
      node,
      node.inputs.map((t) => copies.get(t) ?? t),
    );
    node.outputs.forEach((t, i) => {
      copies.set(t, outputs[i] as Tensor);
    });
  }
  return copies;
}

/** The same function; what it computes is not kept for the gradient but computed again. */
export function checkpoint<A extends readonly Tree<Tensor>[], R extends Tree<Tensor>>(
  fn: (...args: A) => R,
): (...args: A) => R {
  return (...args) => {
    const given = new Set(args.flatMap((arg) => flatten(arg)).map((t) => t.node));
    const result = fn(...args);
    const from = Math.max(-1, ...[...given].map((node) => node.id));
    // Nodes older than the newest argument were made outside (parameters that the function closes over).
    const nodes = ancestors(flatten(result), given).filter(
      (node) => node.id > from && !regionOf.has(node) && node.op !== 'input',
    );
    const region: Region = { nodes };
    for (const node of nodes) regionOf.set(node, region);
    return result;
  };
}

/** `(x, …rest) → gradient of fn with respect to x`, a tree like x. */
export function grad<X extends Tree<Tensor>, R extends readonly unknown[]>(
  fn: (x: X, ...rest: R) => Tensor,
): (x: X, ...rest: R) => X {
  return (x, ...rest) => valueAndGrad(fn)(x, ...rest).gradient;
}

export function valueAndGrad<X extends Tree<Tensor>, R extends readonly unknown[]>(
  fn: (x: X, ...rest: R) => Tensor,
): (x: X, ...rest: R) => { value: Tensor; gradient: X } {
  return (x, ...rest) => {
    const value = fn(x, ...rest);
    const leaves = flatten(x);
    const found = gradients(value, leaves);
    let next = 0;
    return { value, gradient: mapTree(x as Tree<Tensor>, () => found[next++] as Tensor, isTensor) as X };
  };
}
