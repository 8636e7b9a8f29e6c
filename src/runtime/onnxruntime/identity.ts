/** The smallest program there is: reads a GPU tensor back to the host. */
import type { DType } from '../../base/tensor.ts';
import { lower } from '../../program/lower.ts';
import { reshape } from '../../program/ops/shape.ts';
import { trace } from '../../program/trace.ts';

const made = new Map<string, Uint8Array>();

/** x → y, any sizes. */
export function identityModel(dtype: DType, rank: number): Uint8Array {
  const key = `${dtype} ${rank}`;
  const shape = Array.from({ length: rank }, (_, i) => `d${i}`);
  let bytes = made.get(key);
  if (bytes === undefined) {
    bytes = lower(trace('read', { x: { dtype, shape } }, ({ x }) => ({ y: reshape(x as never, shape) })));
    made.set(key, bytes);
  }
  return bytes;
}
