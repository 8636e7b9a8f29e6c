/**
 * What a folder with an ONNX model of Hugging Face's layout says of it: which graph, architecture, sizes, whether it writes.
 * Knows files; runs nothing.
 */
import { exists, facts, readText } from '../../base/host.ts';

export interface OnnxFolder {
  /** The graph, from the folder on: `onnx/model.onnx`. */
  file: string;
  /** transformers.js's name for how its weights are kept. */
  precision: string;
  architecture: string;
  context: number;
  vocabulary: number;
  width: number;
  /** It gives vectors and writes nothing. */
  reads: boolean;
  /** From the size of its files: their bytes over the bytes of a number. */
  parameters: number;
  modified: number;
}

/** Endings of a graph's name, by what is preferred. */
const PRECISIONS = [
  ['', 'fp32', 4],
  ['_quantized', 'q8', 1],
  ['_int8', 'int8', 1],
  ['_uint8', 'uint8', 1],
  ['_q4', 'q4', 0.5],
  ['_bnb4', 'bnb4', 0.5],
  ['_q4f16', 'q4f16', 0.5],
  ['_fp16', 'fp16', 2],
] as const;

const WRITES = /ForCausalLM|LMHeadModel/;
const READERS = /bert|^mpnet$|^electra$|^nomic/;

/** Undefined for a folder that has no such model, or has weights that our own programs read. */
export async function onnxFolder(folder: string): Promise<OnnxFolder | undefined> {
  const config = `${folder}/config.json`;
  for (const ours of ['model.safetensors', 'model.safetensors.index.json', 'checkpoints'])
    if (await exists(`${folder}/${ours}`)) return undefined;
  const about = await facts(config);
  if (about === undefined) return undefined;
  const graph = await graphOf(folder);
  if (graph === undefined) return undefined;
  let raw: Record<string, unknown>;
  try {
    raw = JSON.parse(await readText(config)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  if (typeof raw.model_type !== 'string') return undefined;
  const number = (...keys: string[]): number | undefined =>
    keys.map((key) => raw[key]).find((value): value is number => typeof value === 'number' && value > 0);
  const classes = Array.isArray(raw.architectures) ? raw.architectures.map(String) : [];
  return {
    ...graph,
    architecture: raw.model_type,
    context: number('max_position_embeddings', 'n_positions', 'n_ctx') ?? 2048,
    vocabulary: number('vocab_size') ?? 0,
    width: number('hidden_size', 'n_embd', 'dim') ?? 0,
    reads: classes.length > 0 ? !classes.some((name) => WRITES.test(name)) : READERS.test(raw.model_type),
    modified: about.modified,
  };
}

async function graphOf(
  folder: string,
): Promise<Pick<OnnxFolder, 'file' | 'precision' | 'parameters'> | undefined> {
  for (const [ending, precision, width] of PRECISIONS) {
    for (const file of [`onnx/model${ending}.onnx`, `model${ending}.onnx`]) {
      const graph = await facts(`${folder}/${file}`);
      if (graph?.kind !== 'file') continue;
      const beside = await facts(`${folder}/${file}_data`);
      return { file, precision, parameters: Math.round((graph.size + (beside?.size ?? 0)) / width) };
    }
  }
  return undefined;
}
