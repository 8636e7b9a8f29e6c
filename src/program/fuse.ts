/**
 * Two ops that ONNX Runtime has one node for become one: a residual sum and the RMS norm after it. A pass of lowering,
 * for where that node is known to be right; knows no way of computing anything.
 */
import { remake } from './operation.ts';
import { skipRmsNorm } from './ops/rms-norm.ts';
import { sameShape } from './size.ts';
import { rewrite } from './trace.ts';
import type { Node, Program, Tensor } from './types.ts';

export function fuse(program: Program): Program {
  const norms = normsOfSums(program);
  if (norms.size === 0) return program;
  return rewrite(program, (node, inputs, made) => {
    const norm = norms.get(node);
    if (norm === undefined) return remake(node, inputs);
    const [a, b] = inputs as readonly [Tensor, Tensor];
    const scale = made.get(norm.inputs[1] as Tensor) as Tensor;
    const [normed, sum] = skipRmsNorm(a, b, scale, norm.attributes.epsilon as number);
    made.set(norm.outputs[0] as Tensor, normed);
    return [sum];
  });
}

/** Sums of two of one shape → the first norm of each, which needs nothing that is made after the sum. */
function normsOfSums(program: Program): Map<Node, Node> {
  const used = new Set([
    ...program.nodes.flatMap((node) => node.inputs),
    ...program.outputs.map(({ tensor }) => tensor),
  ]);
  const found = new Map<Node, Node>();
  for (const node of program.nodes) {
    const [x, scale] = node.inputs;
    if (node.op !== 'rmsNorm' || x?.node.op !== 'add' || used.has(node.outputs[1] as Tensor)) continue;
    const fits =
      x.dtype === 'f32' &&
      (x.shape.length === 2 || x.shape.length === 3) &&
      x.node.inputs.every((side) => sameShape(side.shape, x.shape)) &&
      (scale as Tensor).node.op === 'input' &&
      !found.has(x.node);
    if (fits) found.set(x.node, node);
  }
  return found;
}
