/**
 * Opens a text model's folder: a served model, a run, or a Hugging Face GPT-2. Knows files and configuration;
 * runs nothing.
 */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { exists, facts, readBytes, readText } from '../../base/host.ts';
import type { HostTensors } from '../../base/tensor.ts';
import { readTokenizer } from '../../data/tokenizer/read.ts';
import type { Tokenizer } from '../../data/tokenizer/tokenizer.ts';
import { readSafetensors } from '../../formats/safetensors.ts';
import {
  architectureOf,
  type TextConfig,
  textConfig,
  textParameterCount,
  textParameters,
} from './architectures.ts';
import { parametersOf } from './checkpoint.ts';
import { fromHuggingFace, huggingFaceLayout } from './hugging-face.ts';

export interface TextModelInfo {
  folder: string;
  family: 'text';
  architecture: string;
  config: TextConfig;
  parameters: number;
  /** Seconds since 1970. */
  created: number;
  source: 'model' | 'run' | 'hugging-face';
  /** Markdown; empty where there is none. */
  card: string;
}

export interface TextModel extends TextModelInfo {
  tokenizer: Tokenizer;
  weights: HostTensors;
}

const own = z.object({
  family: z.literal('text'),
  architecture: z.string(),
  model: z.record(z.string(), z.unknown()),
  created: z.number().default(0),
});

/** What a folder holds, without its weights. @throws InkstoneError `model_missing`, `model_invalid` */
export async function describeTextModel(folder: string): Promise<TextModelInfo> {
  const file = `${folder}/config.json`;
  if (!(await exists(file))) {
    throw new InkstoneError('model_missing', `there is no model in ${folder}`, {
      kind: 'missing',
      hint: 'a model folder has config.json, tokenizer.json and weights; `inkstone models` lists those that are known',
    });
  }
  let raw: Record<string, unknown>;
  try {
    raw = JSON.parse(await readText(file)) as Record<string, unknown>;
  } catch (cause) {
    throw new InkstoneError('model_invalid', `${file} is not JSON`, { kind: 'data', cause });
  }
  const card = (await exists(`${folder}/card.md`)) ? await readText(`${folder}/card.md`) : '';
  if (raw.family === undefined) {
    const config = fromHuggingFace(raw);
    const { modified } = (await facts(file)) as { modified: number };
    return {
      folder,
      family: 'text',
      architecture: architectureOf(config).name,
      config,
      parameters: textParameterCount(config),
      created: Math.floor(modified / 1000),
      source: 'hugging-face',
      card,
    };
  }
  const read = own.safeParse(raw);
  if (!read.success)
    throw new InkstoneError('model_invalid', `${file}: ${z.prettifyError(read.error)}`, { kind: 'data' });
  const { created, family, architecture } = read.data;
  const model = textConfig.safeParse({ ...read.data.model, architecture });
  if (!model.success)
    throw new InkstoneError('model_invalid', `${file}: ${z.prettifyError(model.error)}`, { kind: 'data' });
  const source = (await exists(`${folder}/model.safetensors`)) ? 'model' : 'run';
  return {
    folder,
    family,
    architecture,
    config: model.data,
    parameters: textParameterCount(model.data),
    created,
    source,
    card,
  };
}

/** With weights and tokenizer. @throws InkstoneError `model_missing`, `model_untrained`, `parameters_differ` */
export async function loadTextModel(folder: string): Promise<TextModel> {
  const info = await describeTextModel(folder);
  const tokenizerFile = `${folder}/tokenizer.json`;
  if (!(await exists(tokenizerFile)))
    throw new InkstoneError('model_invalid', `${folder} has no tokenizer.json`, { kind: 'missing' });
  const tokenizer = readTokenizer(await readText(tokenizerFile));
  if (tokenizer.vocabularySize > info.config.vocabulary) {
    throw new InkstoneError(
      'vocabulary_differs',
      `the tokenizer has ${tokenizer.vocabularySize} tokens, the model ${info.config.vocabulary}`,
      { kind: 'conflict', hint: 'use the tokenizer that the model was trained with' },
    );
  }
  const { tensors } = readSafetensors(await readBytes(await weightsFile(info)));
  const weights =
    info.source === 'hugging-face'
      ? huggingFaceLayout(info.config).readTensors(tensors, info.config)
      : parametersOf(tensors, textParameters(info.config));
  return { ...info, tokenizer, weights };
}

async function weightsFile({ folder, source }: TextModelInfo): Promise<string> {
  const names =
    source === 'run'
      ? ['checkpoints/best.safetensors', 'checkpoints/last.safetensors']
      : ['model.safetensors'];
  for (const name of names) if (await exists(`${folder}/${name}`)) return `${folder}/${name}`;
  if (await exists(`${folder}/pytorch_model.bin`)) {
    throw new InkstoneError('model_invalid', `${folder} has only a pickled checkpoint`, {
      kind: 'unsupported',
      hint: 'pickles can run code and are never read; save the model as safetensors: model.save_pretrained(folder, safe_serialization=True)',
    });
  }
  throw new InkstoneError('model_untrained', `${folder} has no weights yet`, {
    kind: 'missing',
    hint: 'train it first, or wait for its first checkpoint',
  });
}
