/**
 * For runtimes where a node can write few tensors only (WebGPU binds eight buffers to a shader for certain): a split into many
 * parts becomes splits of splits. A pass before lowering; bodies of scans are left as they are.
 */
import { remake } from './operation.ts';
import { input } from './ops/constant.ts';
import { split } from './ops/shape.ts';
import { programOf } from './trace.ts';
import type { Named, Program, Tensor } from './types.ts';

/** @param most tensors that a node may write, at least 2 */
export function narrow(program: Program, most: number): Program {
  if (!program.nodes.some(({ op, outputs }) => op === 'split' && outputs.length > most)) return program;
  const made = new Map<Tensor, Tensor>();
  const inputs = program.inputs.map(({ name, tensor }): Named => {
    const fresh = input(name, tensor);
    made.set(tensor, fresh);
    return { name, tensor: fresh };
  });
  for (const node of program.nodes) {
    if (node.op === 'input') continue;
    const given = node.inputs.map((tensor) => made.get(tensor) as Tensor);
    const { axis, sizes } = node.attributes as { axis: number; sizes: readonly number[] };
    const results =
      node.op === 'split' ? splitInSteps(given[0] as Tensor, sizes, axis, most) : remake(node, given);
    node.outputs.forEach((tensor, i) => {
      made.set(tensor, results[i] as Tensor);
    });
  }
  const outputs = program.outputs.map(({ name, tensor }) => ({ name, tensor: made.get(tensor) as Tensor }));
  return programOf(program.name, inputs, outputs);
}

function splitInSteps(x: Tensor, sizes: readonly number[], axis: number, most: number): readonly Tensor[] {
  if (sizes.length <= most) return split(x, sizes, axis);
  const each = Math.ceil(sizes.length / most);
  const groups = Array.from({ length: Math.ceil(sizes.length / each) }, (_, i) =>
    sizes.slice(i * each, (i + 1) * each),
  );
  const parts = split(
    x,
    groups.map((group) => group.reduce((a, b) => a + b, 0)),
    axis,
  );
  return groups.flatMap((group, i) =>
    group.length === 1 ? [parts[i] as Tensor] : splitInSteps(parts[i] as Tensor, group, axis, most),
  );
}
