/** What an export is made of, by format: names and contents, ready to be written. Writes nothing itself. */
import { InkstoneError } from '../base/errors.ts';
import { codeVersion } from '../base/version.ts';
import { ggufPieces } from '../formats/gguf.ts';
import { writeOnnx } from '../formats/onnx.ts';
import { safetensorsPieces } from '../formats/safetensors.ts';
import { type AnyTextConfig, isBert } from '../models/text/any.ts';
import { type TextConfig, textLogits } from '../models/text/architectures.ts';
import { bertAnswers } from '../models/text/bert-programs.ts';
import { type GgufPrecision, toGguf } from '../models/text/gguf.ts';
import { huggingFaceLayout } from '../models/text/hugging-face.ts';
import type { TextModel } from '../models/text/load.ts';
import { onnxForHuggingFace } from '../models/text/onnx-folder.ts';
import { lowerToModel } from '../program/lower.ts';

export type ExportFormat = 'huggingface' | 'safetensors' | 'onnx' | 'gguf';
export type Piece = Uint8Array | string;
/** File name (relative to the folder; empty for the file itself) to its content. */
export type Files = Map<string, Piece[]>;
type AnyModel = TextModel<AnyTextConfig>;

/** Protocol buffers end at 2 GiB. */
const ONNX_LIMIT = 2 ** 31 - 2 ** 24;

/** Whether a format under this name is a folder. */
export function isFolder(format: ExportFormat, out: string): boolean {
  if (format === 'gguf') return false;
  return format === 'onnx' ? !out.endsWith('.onnx') : !out.endsWith('.safetensors');
}

export const sizeOfPiece = (piece: Piece): number =>
  typeof piece === 'string' ? Buffer.byteLength(piece) : piece.length;

export interface ExportOptions {
  format: ExportFormat;
  folder: boolean;
  name: string;
  /** Of GGUF. */
  precision: GgufPrecision;
  /** Names of a classifier's classes. */
  labels?: readonly string[];
}

/** @throws InkstoneError `format_unsupported`, `onnx_too_large`, `gguf_shape` */
export async function filesFor(model: AnyModel, options: ExportOptions): Promise<Files> {
  const { format, folder, name, precision, labels } = options;
  if (format === 'gguf') {
    const { config } = model;
    return new Map([['', ggufPieces(toGguf({ ...model, config: config as TextConfig, name }, precision))]]);
  }
  if (format === 'onnx') return folder ? onnxFolderFiles(model, labels) : onnxFile(model, name, labels);
  const layout = huggingFaceLayout(model.config);
  // Hugging Face's loader asks for the format.
  const weights = safetensorsPieces(layout.writeTensors(model.weights, model.config), { format: 'pt' });
  return folder
    ? new Map([['model.safetensors', weights], ...besideWeights(model, labels)])
    : new Map([['', weights]]);
}

async function onnxFile(
  model: AnyModel,
  name: string,
  labels: readonly string[] | undefined,
): Promise<Files> {
  if (model.parameters * 4 > ONNX_LIMIT)
    throw new InkstoneError(
      'onnx_too_large',
      `${model.parameters} parameters do not fit into one ONNX file`,
      {
        kind: 'unsupported',
        hint: 'export it with --format safetensors',
      },
    );
  // A BERT's file answers with all its heads, by name.
  const program = isBert(model.config) ? bertAnswers(model.config) : textLogits(model.config);
  const graph = lowerToModel(program, { constants: model.weights, portable: true });
  const metadata = {
    name,
    family: model.family,
    architecture: model.architecture,
    context: String(model.config.context),
    vocabulary: String(model.config.vocabulary),
    parameters: String(model.parameters),
    version: await codeVersion(),
    ...(labels === undefined ? {} : { labels: JSON.stringify(labels) }),
  };
  return new Map([['', [writeOnnx({ ...graph, metadata })]]]);
}

function onnxFolderFiles(model: AnyModel, labels: readonly string[] | undefined): Files {
  const beside = besideWeights(model, labels);
  return new Map([
    ['onnx/model.onnx', [writeOnnx(onnxForHuggingFace(model.config, model.weights))]],
    ...beside,
  ]);
}

const json = (value: unknown): Piece[] => [`${JSON.stringify(value, null, 2)}\n`];

/** Names for what BERT's own tokenizer class needs. */
const BERT_TOKENS = {
  ...{ unk_token: '[UNK]', sep_token: '[SEP]', pad_token: '[PAD]', cls_token: '[CLS]', mask_token: '[MASK]' },
};

function labelNames(labels: readonly string[] | undefined): Record<string, unknown> {
  if (labels === undefined) return {};
  return {
    id2label: Object.fromEntries(labels.map((label, c) => [c, label])),
    label2id: Object.fromEntries(labels.map((label, c) => [label, c])),
  };
}

/** Configuration, tokenizer and card, as transformers wants them. */
function besideWeights(model: AnyModel, labels: readonly string[] | undefined): [string, Piece[]][] {
  const { config, tokenizer, template, card } = model;
  const end = tokenizer.endOfText;
  const endText = end === undefined ? '' : tokenName(model, end);
  const settings = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    model_max_length: config.context,
    clean_up_tokenization_spaces: false,
    ...(isBert(config) ? BERT_TOKENS : {}),
    ...(end === undefined ? {} : { bos_token: endText, eos_token: endText }),
    ...(template === undefined ? {} : { chat_template: template.source }),
  };
  const generation = {
    ...(end === undefined ? {} : { bos_token_id: end, eos_token_id: end, pad_token_id: end }),
    do_sample: true,
  };
  return [
    ['config.json', json({ ...huggingFaceLayout(config).writeConfig(config, end), ...labelNames(labels) })],
    ...(isBert(config) ? [] : ([['generation_config.json', json(generation)]] as [string, Piece[]][])),
    ['tokenizer.json', [tokenizer.toJson()]],
    ['tokenizer_config.json', json(settings)],
    ...(card === '' ? [] : ([['README.md', [card]]] as [string, Piece[]][])),
  ];
}

/** How a token is spelled in tokenizer.json. */
function tokenName({ tokenizer }: AnyModel, id: number): string {
  const written = JSON.parse(tokenizer.toJson()) as {
    added_tokens?: { id: number; content: string }[];
    model?: { vocab?: unknown };
  };
  const added = written.added_tokens?.find((token) => token.id === id)?.content;
  const vocabulary = written.model?.vocab;
  if (added !== undefined) return added;
  if (Array.isArray(vocabulary))
    return String((vocabulary[id] as [string] | undefined)?.[0] ?? '<|endoftext|>');
  const found = Object.entries((vocabulary ?? {}) as Record<string, number>).find(([, at]) => at === id);
  return found?.[0] ?? '<|endoftext|>';
}
