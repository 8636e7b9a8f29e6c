/**
 * What a model is, whoever runs it: a folder of ours or of Hugging Face's that our own programs run, or an open checkpoint
 * for an engine that is fetched when it is needed. Knows files and their descriptions; runs nothing.
 */
import path from 'node:path';
import type { ChatTemplate, ModelDescription } from '../base/contracts/replica.ts';
import { InkstoneError } from '../base/errors.ts';
import { exists, facts, readText } from '../base/host.ts';
import { isBert } from '../models/text/any.ts';
import { ggufHead, ggufInfo } from '../models/text/gguf-info.ts';
import { describeTextModel, type TextModelInfo } from '../models/text/load.ts';
import { type OnnxFolder, onnxFolder } from '../models/text/onnx-info.ts';
import { readTemplate } from '../models/text/template.ts';

/** A model that another engine runs. */
export interface OpenModelInfo {
  engine: 'llama.cpp' | 'transformers.js';
  /** The file (GGUF) or the folder (ONNX). */
  folder: string;
  family: 'text';
  architecture: string;
  parameters: number;
  context: number;
  /** Seconds since 1970. */
  created: number;
  /** It brings a chat template. */
  chat: boolean;
  template?: ChatTemplate;
  /** It gives vectors and writes nothing. */
  reads: boolean;
  card: string;
}

export type AnyModelInfo = TextModelInfo | OpenModelInfo;

export const isOpen = (info: AnyModelInfo): info is OpenModelInfo => 'engine' in info;

export const contextOf = (info: AnyModelInfo): number => (isOpen(info) ? info.context : info.config.context);

/** @throws InkstoneError `engine_unsupported` for a model that our own programs do not run */
export function requireOwn(info: AnyModelInfo, what: string): TextModelInfo {
  if (!isOpen(info)) return info;
  throw new InkstoneError(
    'engine_unsupported',
    `${info.folder} is run by ${info.engine}, which cannot ${what}`,
    {
      kind: 'unsupported',
      hint: 'take the same model as a Hugging Face folder (config.json, safetensors, tokenizer.json)',
    },
  );
}

export function describe(info: AnyModelInfo, id: string): ModelDescription {
  const reads = isOpen(info) ? info.reads : isBert(info.config);
  return {
    id,
    family: info.family,
    created: info.created,
    parameters: info.parameters,
    context: contextOf(info),
    consumes: ['text'],
    produces: reads ? ['embedding'] : ['text', 'embedding'],
    chat: info.chat,
    ...(info.template === undefined ? {} : { template: info.template }),
  };
}

const isGguf = (place: string): boolean => /\.gguf$/i.test(place);
const PICKLE = /\.(bin|pt|pth|ckpt|pkl|pickle)$/i;

/** @throws InkstoneError `model_pickled` for a file that only Python's pickle could read */
export function refusePickle(place: string): void {
  if (!PICKLE.test(place)) return;
  throw new InkstoneError('model_pickled', `${place} is a pickled checkpoint`, {
    kind: 'unsupported',
    hint: 'pickles can run code and are never read; save the model as safetensors: model.save_pretrained(folder, safe_serialization=True)',
  });
}

/**
 * What a file or folder holds, without its weights.
 * @throws InkstoneError `model_missing`, `model_invalid`, `model_pickled`, `gguf_corrupt`
 */
export async function describeModel(place: string): Promise<AnyModelInfo> {
  if (isGguf(place)) return describeGguf(place);
  refusePickle(place);
  const onnx = await onnxFolder(place);
  return onnx === undefined ? describeTextModel(place) : describeOnnx(place, onnx);
}

async function describeOnnx(folder: string, found: OnnxFolder): Promise<OpenModelInfo> {
  const template = await readTemplate(folder);
  const card = path.join(folder, 'README.md');
  const { architecture, parameters, context, reads, modified } = found;
  return {
    ...{ engine: 'transformers.js', folder, family: 'text', architecture, parameters, context, reads },
    created: Math.floor(modified / 1000),
    chat: template !== undefined,
    ...(template === undefined ? {} : { template }),
    card: (await exists(card)) ? await readText(card) : '',
  };
}

/** Heads of files that were read; a vocabulary of 150,000 words takes a while. */
const heads = new Map<string, { version: string; info: OpenModelInfo }>();

async function describeGguf(file: string): Promise<OpenModelInfo> {
  const about = await facts(file);
  if (about?.kind !== 'file')
    throw new InkstoneError('model_missing', `there is no file ${file}`, { kind: 'missing' });
  const version = `${about.size} ${about.modified}`;
  const known = heads.get(file);
  if (known?.version === version) return known.info;
  const { architecture, parameters, context, reads, template } = ggufInfo(await ggufHead(file));
  const beside = path.join(path.dirname(file), 'README.md');
  const info: OpenModelInfo = {
    engine: 'llama.cpp',
    folder: file,
    family: 'text',
    architecture,
    parameters,
    context,
    created: Math.floor(about.modified / 1000),
    chat: template !== undefined,
    ...(template === undefined ? {} : { template }),
    reads,
    card: (await exists(beside)) ? await readText(beside) : '',
  };
  heads.set(file, { version, info });
  return info;
}
