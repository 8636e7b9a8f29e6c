/** Writes a program as text, one line a node, for people and for inline snapshots. */
import type { HostTensor } from '../base/tensor.ts';
import { numbersOf } from './host-value.ts';
import { showShape } from './size.ts';
import { isProgram } from './trace.ts';
import type { Attribute, Program, Tensor } from './types.ts';

/**
 * ```
 * program f(x f32[batch, 4], w f32[4, 2])
 *   a f32[batch, 2] = matmul x w
 *   return y = a
 * ```
 */
export function print(program: Program, indent = ''): string {
  const names = new Map<Tensor, string>();
  let next = 0;
  const nameOf = (t: Tensor): string => {
    let name = names.get(t);
    if (name === undefined) {
      name = `%${next++}`;
      names.set(t, name);
    }
    return name;
  };
  for (const { name, tensor } of program.inputs) names.set(tensor, name);
  const typed = (t: Tensor): string => `${nameOf(t)} ${t.dtype}${showShape(t.shape)}`;
  const lines = [
    `${indent}program ${program.name}(${program.inputs.map((i) => typed(i.tensor)).join(', ')})`,
  ];
  const bodies: string[] = [];
  for (const node of program.nodes) {
    if (node.op === 'input') continue;
    const scalar = node.op === 'constant' ? scalarOf(node.attributes.value as HostTensor) : undefined;
    if (scalar !== undefined) {
      names.set(node.outputs[0] as Tensor, scalar);
      continue;
    }
    const attributes = Object.entries(node.attributes)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => `${key}=${show(value)}`);
    lines.push(
      `${indent}  ${node.outputs.map(typed).join(', ')} = ${[node.op, ...node.inputs.map(nameOf), ...attributes].join(' ')}`,
    );
    for (const value of Object.values(node.attributes))
      if (isProgram(value)) bodies.push(print(value, `${indent}    `));
    lines.push(...bodies.splice(0));
  }
  for (const { name, tensor } of program.outputs) lines.push(`${indent}  return ${name} = ${nameOf(tensor)}`);
  return lines.join('\n');
}

function scalarOf(value: HostTensor): string | undefined {
  if (value.shape.length !== 0) return undefined;
  const [only] = numbersOf(value);
  return Object.is(only, -0) ? '-0' : String(only);
}

function show(value: Attribute): string {
  if (isProgram(value)) return `{${value.name}}`;
  if (Array.isArray(value))
    return `[${value.map((v) => (Array.isArray(v) ? show(v as Attribute) : String(v))).join(', ')}]`;
  if (typeof value === 'object' && value !== null && 'data' in value)
    return `${value.dtype}${showShape(value.shape)}`;
  return String(value);
}
