/** `inkstone export`: a model for other software: an ONNX graph, Hugging Face's folder, or GGUF. */
import path from 'node:path';
import { InkstoneError } from '../../base/errors.ts';
import { exists, facts, freeSpace, makeFolder, writeAtomically } from '../../base/host.ts';
import { bytes as showBytes } from '../../base/progress.ts';
import { z } from '../../base/schema.ts';
import { isBert } from '../../models/text/any.ts';
import { loadAnyTextModel } from '../../models/text/load.ts';
import { readLabels } from '../../models/text/load-classifier.ts';
import { findModel } from '../../operate/registry.ts';
import { command } from '../command.ts';
import { filesFor, isFolder, sizeOfPiece } from '../export-files.ts';

const own = { environment: false } as const;

const schema = z.object({
  model: z.string().min(1).describe('a run folder, a model folder or a registered name'),
  format: z
    .enum(['huggingface', 'safetensors', 'onnx', 'gguf'])
    .describe(
      'huggingface, safetensors: as transformers loads it; onnx: a graph, or a folder for transformers.js; gguf: for llama.cpp',
    )
    .meta(own),
  out: z
    .string()
    .min(1)
    .describe('the file; a name without .safetensors, .onnx or .gguf is a folder with config and tokenizer')
    .meta(own),
  precision: z
    .enum(['f32', 'f16', 'q8_0', 'q4_0'])
    .default('f16')
    .describe('gguf: how matrices are kept')
    .meta(own),
  force: z.boolean().default(false).describe('replace what is there').meta(own),
});
type Settings = z.output<typeof schema>;
interface ExportResult {
  out: string;
  format: string;
  model: string;
  parameters: number;
  files: string[];
  bytes: number;
}

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
  const folder = isFolder(format, out);
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
  const files = await filesFor(model, {
    ...{ format, folder, name: id, precision: settings.precision },
    ...(labels === undefined ? {} : { labels }),
  });
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
    const file = name === '' ? out : path.join(out, name);
    await makeFolder(path.dirname(path.resolve(file)));
    await writeAtomically(file, async (write) => {
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
    'The ONNX file uses standard operators only (opset 20): input tokens [batch, time] int32, output logits [batch, time, vocabulary]; a BERT’s has segments and length beside them and all its heads. The ONNX folder has onnx/model.onnx with a past, as Optimum writes it. ' +
    'The safetensors layout is Hugging Face’s; biases that its GPT-2 has and the model lacks are written as zeros. GGUF is for llama.cpp.',
  schema,
  positionals: ['model'],
  examples: [
    'export runs-out/first --format onnx --out first.onnx',
    'export starter --format huggingface --out starter-hf',
    'export starter --format onnx --out starter-onnx',
    'export runs-out/first --format safetensors --out first.safetensors',
    'export starter --format gguf --precision q8_0 --out starter.gguf',
  ],
  run: (settings) => run(settings),
  show: (result) => `wrote ${result.out}: ${result.files.join(', ')} (${showBytes(result.bytes)})`,
});
