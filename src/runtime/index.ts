/** Backends by name. */
import type { Backend, BackendName, BackendOptions } from './contract.ts';
import { openOnnxRuntime } from './onnxruntime/backend.ts';
import { openReference } from './reference.ts';

export * from './contract.ts';

/** @throws InkstoneError `compile_failed` later, at the first program, where a provider is not there */
export async function createBackend(
  name: BackendName = 'cpu',
  options: BackendOptions = {},
): Promise<Backend> {
  return name === 'reference' ? openReference() : openOnnxRuntime(name, options);
}
