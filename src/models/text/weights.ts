/**
 * The weights of a model folder: one safetensors file, or many with an index. Knows files and names; runs nothing.
 */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { exists, readBytes, readText } from '../../base/host.ts';
import type { HostTensor, HostTensors } from '../../base/tensor.ts';
import { readSafetensors } from '../../formats/safetensors.ts';

const INDEX = 'model.safetensors.index.json';
const index = z.object({ weight_map: z.record(z.string(), z.string()) });

/** All tensors of a folder. @throws InkstoneError `model_untrained`, `model_invalid`, `safetensors_corrupt` */
export async function readWeights(
  folder: string,
  source: 'model' | 'run' | 'hugging-face',
): Promise<HostTensors> {
  const names =
    source === 'run'
      ? ['checkpoints/best.safetensors', 'checkpoints/last.safetensors']
      : ['model.safetensors'];
  for (const name of names) if (await exists(`${folder}/${name}`)) return readFile(`${folder}/${name}`);
  if (await exists(`${folder}/${INDEX}`)) return readShards(folder);
  for (const pickle of ['pytorch_model.bin', 'pytorch_model.bin.index.json', 'model.pt', 'pytorch_model.pt'])
    if (await exists(`${folder}/${pickle}`)) throw pickled(`${folder}/${pickle}`);
  throw new InkstoneError('model_untrained', `${folder} has no weights yet`, {
    kind: 'missing',
    hint: 'train it first, or wait for its first checkpoint',
  });
}

async function readFile(file: string): Promise<HostTensors> {
  try {
    return readSafetensors(await readBytes(file)).tensors;
  } catch (thrown) {
    const error = InkstoneError.from(thrown);
    throw new InkstoneError(error.code, `${file}: ${error.message}`, {
      kind: error.kind,
      details: error.details,
      cause: thrown,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
}

async function readShards(folder: string): Promise<HostTensors> {
  let map: Record<string, string>;
  try {
    map = index.parse(JSON.parse(await readText(`${folder}/${INDEX}`))).weight_map;
  } catch (cause) {
    throw new InkstoneError('model_invalid', `${folder}/${INDEX} is no index of shards`, {
      kind: 'data',
      cause,
    });
  }
  const all: Record<string, HostTensor> = {};
  for (const shard of [...new Set(Object.values(map))].sort()) {
    // The index may come from anywhere: it must not lead out of the folder.
    if (/[/\\]/.test(shard) || !(await exists(`${folder}/${shard}`)))
      throw new InkstoneError('model_invalid', `${folder} lacks the shard ${shard}`, {
        kind: 'missing',
        hint: 'fetch all files that the index names',
      });
    const tensors = await readFile(`${folder}/${shard}`);
    for (const [name, file] of Object.entries(map)) {
      if (file !== shard) continue;
      if (tensors[name] === undefined)
        throw new InkstoneError('model_invalid', `${shard} lacks "${name}", which the index says it has`, {
          kind: 'data',
        });
      all[name] = tensors[name];
    }
  }
  return all;
}

function pickled(file: string): InkstoneError {
  return new InkstoneError('model_invalid', `${file} is a pickled checkpoint`, {
    kind: 'unsupported',
    hint: 'pickles can run code and are never read; save the model as safetensors: model.save_pretrained(folder, safe_serialization=True)',
  });
}
