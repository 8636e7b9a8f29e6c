/** `inkstone export`: a model as a file for other software: an ONNX graph, or Hugging Face's GPT-2 layout. */
import path from 'node:path';
import { InkstoneError } from '../../base/errors.ts';
import { exists, facts, freeSpace, makeFolder, writeAtomically } from '../../base/host.ts';
import { bytes as showBytes } from '../../base/progress.ts';
import { z } from '../../base/schema.ts';
import { codeVersion } from '../../base/version.ts';
import { ggufPieces } from '../../formats/gguf.ts';
import { writeOnnx } from '../../formats/onnx.ts';
import { safetensorsPieces } from '../../formats/safetensors.ts';
import { type AnyTextConfig, isBert, requireWriting } from '../../models/text/any.ts';
import { textLogits } from '../../models/text/architectures.ts';
import { bertAnswers } from '../../models/text/bert-programs.ts';
import { type GgufPrecision, toGguf } from '../../models/text/gguf.ts';
import { huggingFaceLayout } from '../../models/text/hugging-face.ts';
import { loadAnyTextModel, type TextModel } from '../../models/text/load.ts';
import { readLabels } from '../../models/text/load-classifier.ts';
import { findModel } from '../../operate/registry.ts';
import { lowerToModel } from '../../program/lower.ts';
import { command } from '../command.ts';

const own = { environment: false } as const;

const schema = z.object({
  model: z.string().min(1).describe('a run folder, a model folder or a registered name'),
  format: z
    .enum(['onnx', 'safetensors', 'gguf'])
    .describe(
      'onnx: tokens [batch, time] to logits; safetensors: as Hugging Face has it; gguf: for llama.cpp',
    )
    .meta(own),
  out: z
    .string()
    .min(1)
    .describe('the file; for safetensors a name without .safetensors is a folder with config and tokenizer')
    .meta(own),
  precision: z
    .enum(['f32', 'f16', 'q8_0', 'q4_0'])
    .default('f16')
    .describe('gguf: how matrices are kept')
    .meta(own),
  force: z.boolean().default(false).describe('replace what is there').meta(own),
});
type Settings = z.output<typeof schema>;
type AnyModel = TextModel<AnyTextConfig>;

interface ExportResult {
  out: string;
  format: string;
  model: string;
  parameters: number;
  files: string[];
  bytes: number;
}

/** Protocol buffers end at 2 GiB. */
const ONNX_LIMIT = 2 ** 31 - 2 ** 24;

type Piece = Uint8Array | string;
/** File name (relative to --out; empty for --out itself) to its content. */
type Files = Map<string, Piece[]>;

/** A BERT's file answers with all its heads, by name. */
const graphOf = (config: AnyTextConfig) => (isBert(config) ? bertAnswers(config) : textLogits(config));

async function onnxFiles(model: AnyModel, id: string, labels: readonly string[] | undefined): Promise<Files> {
  if (model.parameters * 4 > ONNX_LIMIT) {
    throw new InkstoneError(
      'onnx_too_large',
      `${model.parameters} parameters do not fit into one ONNX file`,
      {
        kind: 'unsupported',
        hint: 'export it with --format safetensors',
      },
    );
  }
  const graph = lowerToModel(graphOf(model.config), { constants: model.weights, portable: true });
  const metadata = {
    name: id,
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

function safetensorsFiles(model: AnyModel, single: boolean, labels: readonly string[] | undefined): Files {
  // Hugging Face's loader asks for the format.
  const layout = huggingFaceLayout(model.config);
  const weights = safetensorsPieces(layout.writeTensors(model.weights, model.config), { format: 'pt' });
  if (single) return new Map([['', weights]]);
  const end = model.tokenizer.endOfText;
  const json = (value: unknown): Piece[] => [`${JSON.stringify(value, null, 2)}\n`];
  const tokenizer = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    model_max_length: model.config.context,
    clean_up_tokenization_spaces: false,
    ...(isBert(model.config) ? BERT_TOKENS : {}),
    ...(end === undefined ? {} : { bos_token: '<|endoftext|>', eos_token: '<|endoftext|>' }),
  };
  const generation = {
    ...(end === undefined ? {} : { bos_token_id: end, eos_token_id: end, pad_token_id: end }),
    do_sample: true,
  };
  return new Map([
    ['model.safetensors', weights],
    ['config.json', json({ ...layout.writeConfig(model.config, end), ...labelNames(labels) })],
    ...(isBert(model.config) ? [] : ([['generation_config.json', json(generation)]] as [string, Piece[]][])),
    ['tokenizer.json', [model.tokenizer.toJson()]],
    ['tokenizer_config.json', json(tokenizer)],
    ...(model.card === '' ? [] : ([['README.md', [model.card]]] as [string, Piece[]][])),
  ]);
}

function ggufFiles(model: TextModel, name: string, precision: GgufPrecision): Files {
  return new Map([['', ggufPieces(toGguf({ ...model, name }, precision))]]);
}

const sizeOfPiece = (piece: Piece): number =>
  typeof piece === 'string' ? Buffer.byteLength(piece) : piece.length;

/** @throws InkstoneError `out_exists`, `out_invalid` */
async function requireFree({ out, force }: Settings, folder: boolean): Promise<void> {
  const about = await facts(out);
  if (about === undefined) return;
  if (folder !== (about.kind === 'folder')) {
    throw new InkstoneError(
      'out_invalid',
      `${out} is a ${about.kind}, a ${folder ? 'folder' : 'file'} is to be written`,
      {
        kind: 'conflict',
        hint: 'choose another --out',
      },
    );
  }
  if (force || (folder && !(await exists(path.join(out, 'config.json'))))) return;
  throw new InkstoneError('out_exists', `${out} is there already`, {
    kind: 'conflict',
    hint: 'replace it with --force, or choose another --out',
  });
}

async function run(settings: Settings): Promise<ExportResult> {
  const { format, out } = settings;
  const { id, folder: place } = await findModel(settings.model);
  const folder = format === 'safetensors' && !out.endsWith('.safetensors');
  await requireFree(settings, folder);
  if (folder && path.resolve(out) === path.resolve(place)) {
    throw new InkstoneError('out_invalid', 'a model cannot be exported into its own folder', {
      kind: 'usage',
      hint: 'choose another --out',
    });
  }
  const model = await loadAnyTextModel(place);
  const labels = await readLabels(model);
  if (labels !== undefined && !isBert(model.config))
    throw new InkstoneError('format_unsupported', `${id} is a classifier on a model that writes`, {
      kind: 'unsupported',
      hint: 'only classifiers on a BERT can be exported; this one is asked with inkstone classify',
    });
  const files =
    format === 'onnx'
      ? await onnxFiles(model, id, labels)
      : format === 'gguf'
        ? ggufFiles({ ...model, config: requireWriting(model.config) }, id, settings.precision)
        : safetensorsFiles(model, !folder, labels);
  const size = [...files.values()].flat().reduce((total, piece) => total + sizeOfPiece(piece), 0);
  const parent = folder ? out : path.dirname(path.resolve(out));
  await makeFolder(parent);
  const free = await freeSpace(parent);
  if (free < size + 2 ** 20) {
    throw new InkstoneError(
      'disk_full',
      `the export takes ${showBytes(size)}, the disk has ${showBytes(free)}`,
      {
        kind: 'resource',
        hint: 'free some space or choose another --out',
      },
    );
  }
  for (const [name, pieces] of files) {
    await writeAtomically(name === '' ? out : path.join(out, name), async (write) => {
      for (const piece of pieces) await write(piece);
    });
  }
  const names = [...files.keys()].map((name) => (name === '' ? path.basename(out) : name));
  return { out, format, model: id, parameters: model.parameters, files: names, bytes: size };
}

export const exportCommand = command({
  name: 'export',
  summary: 'write a model for other software: ONNX, Hugging Face safetensors, or GGUF',
  description:
    'The ONNX graph uses standard operators only (opset 20): input tokens [batch, time] int32, output logits [batch, time, vocabulary]; a BERT’s has segments and length beside them and all its heads. ' +
    'The safetensors layout is Hugging Face’s; biases that its GPT-2 has and the model lacks are written as zeros. GGUF is for llama.cpp.',
  schema,
  positionals: ['model'],
  examples: [
    'export runs-out/first --format onnx --out first.onnx',
    'export starter --format safetensors --out starter-hf',
    'export runs-out/first --format safetensors --out first.safetensors',
    'export starter --format gguf --precision q8_0 --out starter.gguf',
  ],
  run: (settings) => run(settings),
  show: (result) => `wrote ${result.out}: ${result.files.join(', ')} (${showBytes(result.bytes)})`,
});
