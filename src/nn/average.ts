/** Averages of parameters over the steps (Polyak and Juditsky 1992, exponential), as a piece of a tensor program. */
import { sizeOf } from '../base/tensor.ts';
import { add, mul, type Operand, sub, type Tensor } from '../program/index.ts';
import { join, separate } from './joined.ts';
import type { ParameterSpec } from './parameters.ts';

/** Parameters with fewer values are averaged as one vector: their calls cost more than their arithmetic. */
const SMALL = 2 ** 14;

/**
 * New averages by the parameter's name: each a `share` nearer to what its parameter is now. The same numbers, however many
 * are done at once.
 */
export function moveAverages(
  specs: readonly ParameterSpec[],
  before: (name: string) => Tensor,
  now: (name: string) => Tensor,
  share: Operand,
): Record<string, Tensor> {
  const isSmall = ({ shape }: ParameterSpec): boolean => sizeOf(shape) < SMALL;
  const groups = [specs.filter(isSmall), ...specs.filter((spec) => !isSmall(spec)).map((spec) => [spec])];
  const next: Record<string, Tensor> = {};
  for (const group of groups.filter(({ length }) => length > 0)) {
    const joined = (of: (name: string) => Tensor): Tensor => join(group.map(({ name }) => of(name)));
    const from = joined(before);
    const moved = add(from, mul(sub(joined(now), from), share));
    const shapes = group.map(({ shape }) => shape);
    separate(moved, shapes).forEach((average, i) => {
      next[(group[i] as ParameterSpec).name] = average;
    });
  }
  return next;
}
