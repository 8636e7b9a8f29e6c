/**
 * For runtimes where a node can write few tensors only (WebGPU binds eight buffers to a shader for certain): a split into many
 * parts becomes splits of splits. A pass before lowering; bodies of scans are left as they are.
 */
import { remake } from './operation.ts';
import { split } from './ops/shape.ts';
import { rewrite } from './trace.ts';
import type { Node, Program, Tensor } from './types.ts';

/** @param most tensors that a node may write, at least 2 */
export function narrow(program: Program, most: number): Program {
  const isWide = ({ op, outputs }: Node): boolean => op === 'split' && outputs.length > most;
  if (!program.nodes.some(isWide)) return program;
  return rewrite(program, (node, inputs) => {
    if (!isWide(node)) return remake(node, inputs);
    const { axis, sizes } = node.attributes as { axis: number; sizes: readonly number[] };
    return splitInSteps(inputs[0] as Tensor, sizes, axis, most);
  });
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
