/** Picks a model's parameters out of a file's tensors and says what does not fit. Knows no architecture. */
import { InkstoneError } from '../../base/errors.ts';
import type { HostTensor, HostTensors } from '../../base/tensor.ts';
import { halvesToFloats } from '../../formats/float16.ts';
import type { ParameterSpec } from '../../nn/parameters.ts';

/**
 * The declared parameters as f32, in the declared order.
 * @param theirName the name that the file has for one of ours
 * @throws InkstoneError `parameters_differ`, naming the first tensor that is missing or has another shape
 */
export function parametersOf(
  tensors: HostTensors,
  specs: readonly ParameterSpec[],
  theirName: (name: string) => string = (name) => name,
): HostTensors {
  return Object.fromEntries(
    specs.map(({ name, shape }) => {
      const theirs = theirName(name);
      const value = tensors[theirs];
      if (value === undefined || value.shape.join() !== shape.join()) {
        throw new InkstoneError(
          'parameters_differ',
          `the file's "${theirs}" is ${value === undefined ? 'missing' : `[${value.shape}]`}, the configuration says [${shape}]`,
          {
            kind: 'data',
            hint: 'config.json and the weights must belong together',
            details: { tensor: theirs, expected: shape, found: value?.shape ?? null },
          },
        );
      }
      return [name, asFloats(theirs, value)];
    }),
  );
}

/** @throws InkstoneError `parameters_differ` for tensors that are no floats */
export function asFloats(name: string, value: HostTensor): HostTensor<'f32'> {
  if (value.dtype === 'f32') return value as HostTensor<'f32'>;
  if (value.dtype === 'f16')
    return { dtype: 'f32', shape: value.shape, data: halvesToFloats(value.data as Uint16Array) };
  if (value.dtype === 'f64')
    return { dtype: 'f32', shape: value.shape, data: Float32Array.from(value.data as Float64Array) };
  throw new InkstoneError('parameters_differ', `"${name}" is ${value.dtype}, not a float`, {
    kind: 'unsupported',
    hint: 'save the checkpoint with floating weights (float32, float16 or bfloat16)',
  });
}

/** @throws InkstoneError `config_unsupported`, with what was wrong */
export function configUnsupported(what: string, hint: string, cause?: unknown): InkstoneError {
  return new InkstoneError('config_unsupported', what, { kind: 'unsupported', hint, cause });
}
