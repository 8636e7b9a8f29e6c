/** What every kind of work on our own side needs: what it prepares, how it is timed, how tensors come in. */
import * as host from '../src/base/host.ts';
import { type HostTensors, sizeOf, tensor, viewOf } from '../src/base/tensor.ts';
import type { RunAnswer, TensorList, Work } from './protocol.ts';

export interface Prepared {
  run(count: number): Promise<RunAnswer>;
  free(): Promise<void>;
}

export type WorkOf<W extends Work['work']> = Extract<Work, { work: W }>;

/** @param one gives the losses of one run, where it has any */
export async function timed(
  count: number,
  one: () => Promise<number | readonly number[] | undefined>,
): Promise<RunAnswer> {
  const seconds: number[] = [];
  const losses: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = host.monotonic();
    const found = await one();
    seconds.push((host.monotonic() - start) / 1000);
    if (found !== undefined) losses.push(...(typeof found === 'number' ? [found] : found));
  }
  return losses.length === 0 ? { seconds } : { seconds, losses };
}

/** Float32 tensors by name. */
export async function readTensors({ file, tensors }: TensorList): Promise<HostTensors> {
  const flat = viewOf('f32', await host.readBytes(file));
  let at = 0;
  return Object.fromEntries(
    tensors.map(({ name, shape }) => {
      const size = sizeOf(shape);
      at += size;
      return [name, tensor('f32', shape, flat.slice(at - size, at))];
    }),
  );
}
