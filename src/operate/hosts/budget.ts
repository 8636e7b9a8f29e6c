/** What a model will take of the machine before it is loaded, and what is left for it. Knows numbers only. */
import { threadsFor } from '../threads.ts';

const MEGABYTE = 2 ** 20;
/** Bytes of a process that has loaded Node.js and the runtime, and no model. */
const BASE = 150 * MEGABYTE;
/** Bytes a parameter as weights are kept; scales and tables included. */
const BYTES = { float32: 4, float16: 2, int8: 1.2, int4: 0.7 } as const;
/** Weights are in memory once, and for a part of them in the runtime's own layout besides. */
const OVERHEAD = 1.4;

export interface ModelSize {
  parameters: number;
  /** Of its weights, where they are known. */
  bytes?: number;
  weights?: keyof typeof BYTES;
  /** Most that keys and values may take; a part of it is used. */
  cacheBytes?: number;
}

/** Bytes. A guess on the safe side; what a loaded model really takes is measured. */
export function memoryNeed({ parameters, bytes, weights = 'float32', cacheBytes = 0 }: ModelSize): number {
  const held = bytes ?? OVERHEAD * BYTES[weights] * parameters;
  return Math.round(BASE + held + Math.min(cacheBytes, 256 * MEGABYTE));
}

/**
 * Threads for one more model: what its size asks for, as far as those at work leave some.
 * @param budget of the whole machine. @param taken by models that work now
 */
export function threadsLeft(parameters: number, budget: number, taken: number): number {
  return Math.max(1, Math.min(threadsFor(parameters), budget, budget - taken));
}
