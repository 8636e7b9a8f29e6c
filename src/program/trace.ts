/** Turns a TypeScript function on tensors into a program, and rebuilds programs with known sizes. */
import { InkstoneError } from '../base/errors.ts';
import { ancestors } from './gradient.ts';
import { remake } from './operation.ts';
import { input } from './ops/constant.ts';
import { bindShape, bindSize } from './size.ts';
import type {
  Attribute,
  Attributes,
  Named,
  Node,
  Program,
  Shape,
  Size,
  Tensor,
  TensorType,
} from './types.ts';

/**
 * Runs `fn` once on stand-ins and keeps what it did.
 * @throws InkstoneError `shape_mismatch` from any op inside
 */
export function trace(
  name: string,
  inputs: Readonly<Record<string, TensorType>>,
  fn: (inputs: Record<string, Tensor>) => Readonly<Record<string, Tensor>>,
): Program {
  const named = Object.entries(inputs).map(
    ([key, type]): Named => ({
      name: key,
      tensor: input(key, { dtype: type.dtype, shape: [...type.shape] }),
    }),
  );
  const results = fn(Object.fromEntries(named.map((n) => [n.name, n.tensor])));
  return programOf(
    name,
    named,
    Object.entries(results).map(([key, tensor]) => ({ name: key, tensor })),
  );
}

/** A program from its ends. @throws InkstoneError `foreign_input` where an outside input leaked in */
export function programOf(name: string, inputs: readonly Named[], outputs: readonly Named[]): Program {
  const own = new Set(inputs.map((n) => n.tensor.node));
  const nodes = ancestors(outputs.map((n) => n.tensor));
  for (const node of nodes) {
    if (node.op === 'input' && !own.has(node)) {
      throw new InkstoneError(
        'foreign_input',
        `${name} uses the input "${node.attributes.name}" of another program`,
        {
          kind: 'usage',
          hint: 'hand every tensor in as an input of this program',
        },
      );
    }
  }
  for (const { tensor } of inputs) if (!nodes.includes(tensor.node)) nodes.push(tensor.node);
  return { name, inputs, outputs, nodes: nodes.sort((a, b) => a.id - b.id) };
}

/** Attributes that hold sizes; all others are left as they are. */
const SIZES = new Set(['shape', 'size', 'start', 'end']);

/** Builds the program again with numbers for names (and every type inferred anew). */
export function bindSizes(program: Program, sizes: Readonly<Record<string, number>>): Program {
  return rewrite(
    program,
    (node, inputs) => remake(node, inputs, bindAttributes(node.attributes, sizes)),
    ({ dtype, shape }) => ({ dtype, shape: bindShape(shape, sizes) }),
  );
}

function bindAttributes(attributes: Attributes, sizes: Readonly<Record<string, number>>): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).map(([key, value]): [string, Attribute] => {
      if (SIZES.has(key))
        return [
          key,
          Array.isArray(value) ? bindShape(value as Shape, sizes) : bindSize(value as Size, sizes),
        ];
      if (isProgram(value)) return [key, bindSizes(value, sizes)];
      return [key, value];
    }),
  );
}

export function isProgram(value: unknown): value is Program {
  return typeof value === 'object' && value !== null && 'nodes' in value && 'outputs' in value;
}

/**
 * The program made anew, node by node. `change` gives what stands for a node's outputs now; it may also say in `made` what
 * stands for those of later nodes, which are passed over then.
 */
export function rewrite(
  program: Program,
  change: (node: Node, inputs: readonly Tensor[], made: Map<Tensor, Tensor>) => readonly Tensor[],
  inputType: (type: TensorType) => TensorType = (type) => type,
): Program {
  const made = new Map<Tensor, Tensor>();
  const now = (tensor: Tensor): Tensor => made.get(tensor) as Tensor;
  const inputs = program.inputs.map(({ name, tensor }): Named => {
    const fresh = input(name, inputType(tensor));
    made.set(tensor, fresh);
    return { name, tensor: fresh };
  });
  for (const node of program.nodes) {
    if (node.op === 'input' || made.has(node.outputs[0] as Tensor)) continue;
    const results = change(node, node.inputs.map(now), made);
    node.outputs.forEach((tensor, i) => {
      made.set(tensor, results[i] as Tensor);
    });
  }
  const outputs = program.outputs.map(({ name, tensor }) => ({ name, tensor: now(tensor) }));
  return programOf(program.name, inputs, outputs);
}
