/**
 * Opens a text model's folder: a served model, a run, or a Hugging Face checkpoint. Knows files and configuration;
 * runs nothing.
 */
import { z } from 'zod';
import type { ChatTemplate } from '../../base/contracts/replica.ts';
import { InkstoneError } from '../../base/errors.ts';
import { exists, facts, readText } from '../../base/host.ts';
import type { HostTensors } from '../../base/tensor.ts';
import { readTokenizer } from '../../data/tokenizer/read.ts';
import type { Tokenizer } from '../../data/tokenizer/tokenizer.ts';
import {
  type AnyTextConfig,
  anyTextConfig,
  anyTextParameterCount,
  anyTextParameters,
  architectureName,
  requireWriting,
} from './any.ts';
import type { TextConfig } from './architectures.ts';
import { parametersOf } from './checkpoint.ts';
import { fromHuggingFace, huggingFaceLayout } from './hugging-face.ts';
import { type Pooling, poolingName, readPooling } from './pooling.ts';
import { readTemplate } from './template.ts';
import { readWeights } from './weights.ts';

export interface TextModelInfo<C extends AnyTextConfig = AnyTextConfig> {
  folder: string;
  family: 'text';
  architecture: string;
  config: C;
  parameters: number;
  /** Seconds since 1970. */
  created: number;
  source: 'model' | 'run' | 'hugging-face';
  /** It was tuned to answer turns (see data/text/chat.ts). */
  chat: boolean;
  /** Its own way of writing turns down, where it brings one. */
  template?: ChatTemplate;
  /** How its hidden states become a vector. */
  pooling: Pooling;
  /** Markdown; empty where there is none. */
  card: string;
}

export interface TextModel<C extends AnyTextConfig = TextConfig> extends TextModelInfo<C> {
  tokenizer: Tokenizer;
  weights: HostTensors;
}

const own = z.object({
  family: z.literal('text'),
  architecture: z.string(),
  model: z.record(z.string(), z.unknown()),
  created: z.number().default(0),
  chat: z.boolean().default(false),
  pooling: poolingName.default('mean'),
});

/** What a folder holds, without its weights. @throws InkstoneError `model_missing`, `model_invalid` */
export async function describeTextModel(folder: string): Promise<TextModelInfo> {
  const file = `${folder}/config.json`;
  if (/\.gguf$/i.test(folder))
    throw new InkstoneError('engine_unsupported', `${folder} is a GGUF file: llama.cpp runs it, we do not`, {
      kind: 'unsupported',
      hint: '`inkstone generate` and `serve` take it; for the rest take the same model as a Hugging Face folder',
    });
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
    const template = await readTemplate(folder);
    return {
      folder,
      family: 'text',
      architecture: architectureName(config),
      config,
      parameters: anyTextParameterCount(config),
      created: Math.floor(modified / 1000),
      source: 'hugging-face',
      chat: template !== undefined,
      ...(template === undefined ? {} : { template }),
      pooling: await readPooling(folder),
      card,
    };
  }
  const read = own.safeParse(raw);
  if (!read.success)
    throw new InkstoneError('model_invalid', `${file}: ${z.prettifyError(read.error)}`, { kind: 'data' });
  const { created, family, architecture, chat, pooling } = read.data;
  const model = anyTextConfig.safeParse({ ...read.data.model, architecture });
  if (!model.success)
    throw new InkstoneError('model_invalid', `${file}: ${z.prettifyError(model.error)}`, { kind: 'data' });
  const source = (await exists(`${folder}/model.safetensors`)) ? 'model' : 'run';
  return {
    folder,
    family,
    architecture,
    config: model.data,
    parameters: anyTextParameterCount(model.data),
    created,
    source,
    chat,
    pooling,
    card,
  };
}

/** @throws InkstoneError `model_untrained`, `parameters_differ`, `safetensors_corrupt` */
export async function loadWeights({ folder, source, config }: TextModelInfo): Promise<HostTensors> {
  const tensors = await readWeights(folder, source);
  return source === 'hugging-face'
    ? huggingFaceLayout(config).readTensors(tensors, config)
    : parametersOf(tensors, anyTextParameters(config));
}

/** With weights and tokenizer. @throws InkstoneError `model_missing`, `model_untrained`, `parameters_differ` */
export async function loadAnyTextModel(folder: string): Promise<TextModel<AnyTextConfig>> {
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
  return { ...info, tokenizer, weights: await loadWeights(info) };
}

/** A model that writes. @throws InkstoneError `model_writes_nothing` and what `loadAnyTextModel` throws */
export async function loadTextModel(folder: string): Promise<TextModel> {
  requireWriting((await describeTextModel(folder)).config);
  return (await loadAnyTextModel(folder)) as TextModel;
}
