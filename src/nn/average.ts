/** Averages of parameters over the steps (Polyak and Juditsky 1992, exponential), as a piece of a tensor program. */
import { sizeOf } from '../base/tensor.ts';
import { add, concat, mul, type Operand, reshape, split, sub, type Tensor } from '../program/index.ts';
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
  const moved = (from: Tensor, to: Tensor): Tensor => add(from, mul(sub(to, from), share));
  const isSmall = ({ shape }: ParameterSpec): boolean => sizeOf(shape) < SMALL;
  const small = specs.filter(isSmall);
  const next: Record<string, Tensor> = {};
  for (const { name } of small.length > 1 ? specs.filter((spec) => !isSmall(spec)) : specs)
    next[name] = moved(before(name), now(name));
  if (small.length < 2) return next;
  const joined = (of: (name: string) => Tensor): Tensor =>
    concat(
      small.map(({ name }) => reshape(of(name), [-1])),
      0,
    );
  const parts = split(
    moved(joined(before), joined(now)),
    small.map(({ shape }) => sizeOf(shape)),
    0,
  );
  small.forEach(({ name, shape }, i) => {
    next[name] = reshape(parts[i] as Tensor, shape);
  });
  return next;
}
