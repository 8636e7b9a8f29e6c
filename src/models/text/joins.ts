/**
 * Matrices that read the same input, put together for serving: one larger product instead of several small ones, each
 * of which would round its input anew and wake the threads anew. Files keep them apart. Knows names, no architecture.
 */
import { type HostTensor, type HostTensors, sizeOf, tensor } from '../../base/tensor.ts';
import type { ParameterSpec } from '../../nn/parameters.ts';

/** The joined layer's name → the layers that its rows are of, in order. Matrices are `[out, in]`. */
export type Joins = Readonly<Record<string, readonly string[]>>;

const KINDS = ['weight', 'bias'] as const;

/** Names of parameters: joined → parts, where the parts are there. */
function partsOf(joins: Joins, has: (name: string) => boolean): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [joined, layers] of Object.entries(joins))
    for (const kind of KINDS) {
      const parts = layers.map((layer) => `${layer}.${kind}`);
      if (parts.every(has)) found.set(`${joined}.${kind}`, parts);
    }
  return found;
}

/** Joined parameters stand where the first of their parts stood. */
export function joinedSpecs(specs: readonly ParameterSpec[], joins: Joins): ParameterSpec[] {
  const known = new Map(specs.map((spec) => [spec.name, spec]));
  const parts = partsOf(joins, (name) => known.has(name));
  const whole = new Map([...parts].map(([joined, names]) => [names[0] as string, { joined, names }]));
  const gone = new Set([...parts.values()].flat());
  return specs.flatMap((spec): ParameterSpec[] => {
    const { joined, names } = whole.get(spec.name) ?? {};
    if (joined === undefined || names === undefined) return gone.has(spec.name) ? [] : [spec];
    const rows = names.reduce(
      (sum, name) => sum + ((known.get(name) as ParameterSpec).shape[0] as number),
      0,
    );
    return [{ ...spec, name: joined, shape: [rows, ...spec.shape.slice(1)] }];
  });
}

export function joinedWeights(weights: HostTensors, joins: Joins): HostTensors {
  const made: Record<string, HostTensor> = { ...weights };
  for (const [joined, names] of partsOf(joins, (name) => weights[name] !== undefined)) {
    const parts = names.map((name) => weights[name] as HostTensor<'f32'>);
    const rows = parts.reduce((sum, { shape }) => sum + (shape[0] as number), 0);
    const shape = [rows, ...(parts[0] as HostTensor).shape.slice(1)];
    const data = new Float32Array(sizeOf(shape));
    let at = 0;
    for (const [i, part] of parts.entries()) {
      data.set(part.data, at);
      at += part.data.length;
      delete made[names[i] as string];
    }
    made[joined] = tensor('f32', shape, data);
  }
  return made;
}
