/** Opens an image model's folder: a served model or a run. Knows files and configuration; runs nothing. */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { exists, readBytes, readText } from '../../base/host.ts';
import type { HostTensor, HostTensors } from '../../base/tensor.ts';
import { readSafetensors } from '../../formats/safetensors.ts';
import { countParameters } from '../../nn/parameters.ts';
import { readWeights } from '../text/weights.ts';
import { classesOf, type ImageConfig, imageConfig, imageParameters } from './any.ts';

export interface ImageModelInfo {
  folder: string;
  family: 'image';
  architecture: string;
  config: ImageConfig;
  /** Of the generator. */
  parameters: number;
  /** Names of the classes, in order; empty for a model without. */
  classes: readonly string[];
  /** Seconds since 1970. */
  created: number;
  source: 'model' | 'run';
  /** Markdown; empty where there is none. */
  card: string;
}

const own = z.object({
  family: z.literal('image'),
  model: z.record(z.string(), z.unknown()),
  created: z.number().default(0),
  data: z.looseObject({ classes: z.array(z.string()).default([]) }).optional(),
});

/** Which family a folder's model is of; undefined where it says nothing (a foreign checkpoint) or is not there. */
export async function familyOf(folder: string): Promise<string | undefined> {
  const file = `${folder}/config.json`;
  if (!(await exists(file))) return undefined;
  try {
    const { family } = JSON.parse(await readText(file)) as { family?: unknown };
    return typeof family === 'string' ? family : undefined;
  } catch {
    return undefined;
  }
}

/** What a folder holds, without its weights. @throws InkstoneError `model_missing`, `model_invalid` */
export async function describeImageModel(folder: string): Promise<ImageModelInfo> {
  const file = `${folder}/config.json`;
  if (!(await exists(file)))
    throw new InkstoneError('model_missing', `there is no model in ${folder}`, {
      kind: 'missing',
      hint: 'train one: inkstone train image --preset mnist-cgan --data FOLDER',
    });
  let raw: unknown;
  try {
    raw = JSON.parse(await readText(file));
  } catch (cause) {
    throw new InkstoneError('model_invalid', `${file} is not JSON`, { kind: 'data', cause });
  }
  const read = own.safeParse(raw);
  const config = imageConfig.safeParse(read.success ? read.data.model : {});
  if (!read.success || !config.success)
    throw new InkstoneError(
      'model_invalid',
      `${file}: ${z.prettifyError((read.error ?? config.error) as z.ZodError)}`,
      { kind: 'data', hint: 'this is no image model' },
    );
  const { created, data } = read.data;
  return {
    folder,
    family: 'image',
    architecture: config.data.architecture,
    config: config.data,
    parameters: countParameters(imageParameters(config.data)),
    classes: classesOf(config.data) > 0 ? (data?.classes ?? []) : [],
    created,
    source: (await exists(`${folder}/model.safetensors`)) ? 'model' : 'run',
    card: (await exists(`${folder}/card.md`)) ? await readText(`${folder}/card.md`) : '',
  };
}

/** The generator's parameters: of the best checkpoint, else the average of the last. @throws InkstoneError `model_untrained`, `parameters_differ` */
export async function loadImageModel(folder: string): Promise<ImageModelInfo & { weights: HostTensors }> {
  const info = await describeImageModel(folder);
  const tensors = await readWeights(folder, info.source);
  const weights: Record<string, HostTensor> = {};
  for (const { name, shape } of imageParameters(info.config)) {
    const value = tensors[name] ?? tensors[`generator/average.${name}`] ?? tensors[`average.${name}`];
    if (value === undefined || value.shape.join() !== shape.join())
      throw new InkstoneError(
        'parameters_differ',
        `"${name}" in ${folder} is ${value === undefined ? 'missing' : `[${value.shape}]`}, the model's is [${shape}]`,
        { kind: 'data', hint: 'the weights and config.json must be of one training' },
      );
    weights[name] = value;
  }
  return { ...info, weights };
}

/** Both networks of a run's last checkpoint, by their own names: what another run may start from. */
export async function loadPair(folder: string): Promise<HostTensors> {
  const info = await describeImageModel(folder);
  const last = `${folder}/checkpoints/last.safetensors`;
  // The best checkpoint holds the average generator alone.
  const tensors = (await exists(last))
    ? readSafetensors(await readBytes(last)).tensors
    : await readWeights(folder, info.source);
  const pair: Record<string, HostTensor> = {};
  for (const [name, value] of Object.entries(tensors)) {
    const own = /^(?:generator|critic)\/((?:generator|critic)\..*)$/.exec(name)?.[1];
    if (own !== undefined) pair[own] = value;
    else if (!/^(moment|momentum|average)/.test(name)) pair[name] = value;
  }
  return pair;
}
