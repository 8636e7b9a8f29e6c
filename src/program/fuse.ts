/**
 * Two ops that ONNX Runtime has one node for become one: a residual sum and the RMS norm after it. A pass of lowering,
 * for where that node is known to be right; knows no way of computing anything.
 */
import { remake } from './operation.ts';
import { input } from './ops/constant.ts';
import { skipRmsNorm } from './ops/rms-norm.ts';
import { sameShape } from './size.ts';
import { programOf } from './trace.ts';
import type { Named, Node, Program, Tensor } from './types.ts';

export function fuse(program: Program): Program {
  const norms = normsOfSums(program);
  if (norms.size === 0) return program;
  const made = new Map<Tensor, Tensor>();
  const now = (tensor: Tensor): Tensor => made.get(tensor) as Tensor;
  const inputs = program.inputs.map(({ name, tensor }): Named => {
    const fresh = input(name, tensor);
    made.set(tensor, fresh);
    return { name, tensor: fresh };
  });
  const done = new Set(norms.values());
  for (const node of program.nodes) {
    if (node.op === 'input' || done.has(node)) continue;
    const norm = norms.get(node);
    if (norm === undefined) {
      remake(node, node.inputs.map(now)).forEach((tensor, i) => {
        made.set(node.outputs[i] as Tensor, tensor);
      });
      continue;
    }
    const [a, b] = node.inputs as readonly [Tensor, Tensor];
    const [normed, sum] = skipRmsNorm(
      now(a),
      now(b),
      now(norm.inputs[1] as Tensor),
      norm.attributes.epsilon as number,
    );
    made.set(node.outputs[0] as Tensor, sum);
    made.set(norm.outputs[0] as Tensor, normed);
  }
  const outputs = program.outputs.map(({ name, tensor }) => ({ name, tensor: now(tensor) }));
  return programOf(program.name, inputs, outputs);
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
