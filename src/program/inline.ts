/** Puts one program's nodes into the graph of another. */
import { remake } from './operation.ts';
import type { Program, Tensor } from './types.ts';

/** The program's outputs, computed from `inputs` (in the program's order). */
export function inline(program: Program, inputs: readonly Tensor[]): Tensor[] {
  const made = new Map<Tensor, Tensor>();
  program.inputs.forEach(({ tensor }, i) => made.set(tensor, inputs[i] as Tensor));
  for (const node of program.nodes) {
    if (node.op === 'input') continue;
    const outputs = remake(
      node,
      node.inputs.map((t) => made.get(t) as Tensor),
    );
    node.outputs.forEach((t, i) => {
      made.set(t, outputs[i] as Tensor);
    });
  }
  return program.outputs.map(({ tensor }) => made.get(tensor) as Tensor);
}
