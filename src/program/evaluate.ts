/**
 * What a program means, in float64: each op's own `reference`, one node after another. Slow and exact;
 * the oracle for every faster backend, and the folder of constants.
 */
import { InkstoneError } from '../base/errors.ts';
import type { HostTensor } from '../base/tensor.ts';
import { numbersOf } from './host-value.ts';
import { operationOf, type ReferenceValue } from './operation.ts';
import { isStatic, showShape } from './size.ts';
import type { Node, Program, Tensor } from './types.ts';

/** @throws InkstoneError `not_static` where a size is still symbolic */
export function evaluateNode(node: Node, inputs: readonly ReferenceValue[]): ReferenceValue[] {
  const outputs = node.outputs.map((t) => {
    if (!isStatic(t.shape))
      throw new InkstoneError('not_static', `${node.op} has the open shape ${showShape(t.shape)}`, {
        hint: 'bind the sizes first',
      });
    return { dtype: t.dtype, shape: t.shape };
  });
  // Nothing is asked for, so nothing is computed: many a rule has no meaning without elements.
  if (outputs.every(({ shape }) => shape.includes(0)))
    return outputs.map(({ shape }) => ({ shape, data: new Float64Array(0) }));
  const data = operationOf(node.op).reference({
    inputs,
    attributes: node.attributes,
    outputs,
    types: node.inputs,
    evaluate,
  });
  return outputs.map(({ shape }, i) => ({ shape, data: data[i] as Float64Array }));
}

/** Runs a program with every size known. Values are freed after their last use. */
export function evaluate(program: Program, inputs: readonly ReferenceValue[]): ReferenceValue[] {
  const values = new Map<Tensor, ReferenceValue>();
  const lastUse = new Map<Tensor, Node>();
  for (const node of program.nodes) for (const t of node.inputs) lastUse.set(t, node);
  const kept = new Set(program.outputs.map((o) => o.tensor));
  program.inputs.forEach(({ tensor }, i) => values.set(tensor, inputs[i] as ReferenceValue));
  for (const node of program.nodes) {
    if (node.op === 'input') continue;
    const results = evaluateNode(
      node,
      node.inputs.map((t) => values.get(t) as ReferenceValue),
    );
    node.outputs.forEach((t, i) => {
      values.set(t, results[i] as ReferenceValue);
    });
    for (const t of node.inputs) if (lastUse.get(t) === node && !kept.has(t)) values.delete(t);
  }
  return program.outputs.map(({ tensor }) => values.get(tensor) as ReferenceValue);
}

export function toReference(value: HostTensor): ReferenceValue {
  return { shape: value.shape, data: numbersOf(value) };
}
