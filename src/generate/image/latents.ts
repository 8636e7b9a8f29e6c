/** An autoencoder's encoder and decoder around a denoiser, compiled for each batch that comes. Knows no sampling. */
import { type HostTensor, type HostTensors, tensor } from '../../base/tensor.ts';
import {
  type LatentDiffusionConfig,
  latentDecoder,
  latentEncoder,
} from '../../models/image/latent-diffusion.ts';
import { latentShape } from '../../models/image/vae.ts';
import type { Program } from '../../program/index.ts';
import type { Backend, Executable } from '../../runtime/contract.ts';
import type { Latents } from './diffusion.ts';

export function latentsOf(backend: Backend, config: LatentDiffusionConfig, parameters: HostTensors): Latents {
  const { autoencoder } = config;
  const { channels, size } = autoencoder;
  const compiled = new Map<string, Promise<Executable>>();
  const run = async (
    program: Program,
    input: string,
    output: string,
    shape: number[],
    values: Float32Array,
  ) => {
    const key = `${program.name} ${shape[0]}`;
    let executable = compiled.get(key);
    if (executable === undefined) {
      const constants = Object.fromEntries(
        program.inputs
          .filter(({ name }) => name !== input)
          .map(({ name }) => [name, parameters[name] as HostTensor]),
      );
      executable = backend.compile(program, { constants });
      compiled.set(key, executable);
    }
    const given = tensor('f32', shape, Float32Array.from(values));
    const result = await (await executable).run({ inputs: { [input]: given } });
    return (result[output] as HostTensor<'f32'>).data;
  };
  return {
    ...{ channels, size },
    encode: (pictures, count) =>
      run(latentEncoder(config, count), 'images', 'latents', [count, channels, size, size], pictures),
    decode: (latents, count) =>
      run(latentDecoder(config, count), 'latents', 'images', [count, ...latentShape(autoencoder)], latents),
    async close() {
      for (const executable of compiled.values()) await (await executable).free();
      compiled.clear();
    },
  };
}
