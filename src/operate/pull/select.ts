/** Which of a repository's files a model needs: weights that can be read, tokenizer, configuration, card. Fetches nothing. */
import { InkstoneError } from '../../base/errors.ts';
import { bytes } from '../../base/progress.ts';
import { safePath } from './source.ts';

/** A file as its source lists it. */
export interface RemoteFile {
  path: string;
  size: number;
  /** SHA-256, where the source says it. */
  sha256?: string | undefined;
  /** Git's name of the content: SHA-1 over a head and the bytes. */
  gitOid?: string | undefined;
}

const BESIDE =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|preprocessor_config|modules|sentence_bert_config|config_sentence_transformers|1_Pooling\/config|model\.safetensors\.index)\.json$|^(vocab|merges)\.txt$|^chat_template\.jinja$|^tokenizer\.model$|^(README|LICENSE|NOTICE)(\.md|\.txt)?$/i;
const PICKLE = /\.(bin|pt|pth|ckpt|pkl|pickle)$/i;
const SHARD = /-\d{5}-of-\d{5}\.gguf$/i;

export const isPickle = (file: string): boolean => PICKLE.test(file);

export function pickled(file: string): InkstoneError {
  return new InkstoneError('model_pickled', `${file} is a pickled checkpoint`, {
    kind: 'unsupported',
    hint: 'pickles can run code and are never fetched or read; ask for safetensors, or convert it where you trust it: model.save_pretrained(folder, safe_serialization=True)',
  });
}

/**
 * @param file only this one (and what stands beside it), where it is given
 * @throws InkstoneError `file_not_found`, `model_pickled`, `model_missing`, `choice_needed`, `path_unsafe`
 */
export function selectFiles(all: readonly RemoteFile[], file?: string): RemoteFile[] {
  if (file !== undefined && isPickle(file)) throw pickled(file);
  const files = all.map((one) => ({ ...one, path: safePath(one.path) }));
  const beside = files.filter(({ path }) => BESIDE.test(path));
  if (file !== undefined) {
    const found = files.find(({ path }) => path === file);
    if (found === undefined)
      throw new InkstoneError('file_not_found', `there is no ${file} in this repository`, {
        kind: 'missing',
        hint: `there is ${listed(files.filter(({ path }) => /\.(gguf|safetensors|onnx)$/.test(path))) || 'nothing to run'}`,
      });
    if (/\.gguf$/i.test(file))
      return [found, ...beside.filter(({ path }) => /^(README|LICENSE)/i.test(path))];
    return unique([found, ...beside]);
  }
  const ending = (pattern: RegExp): RemoteFile[] => files.filter(({ path }) => pattern.test(path));
  const safetensors = ending(/^[^/]+\.safetensors$/i);
  if (safetensors.length > 0) return unique([...preferred(safetensors), ...beside]);
  const gguf = ending(/\.gguf$/i).filter(({ path }) => !SHARD.test(path));
  if (gguf.length === 1) return selectFiles(all, (gguf[0] as RemoteFile).path);
  if (gguf.length > 1)
    throw new InkstoneError('choice_needed', `there are ${gguf.length} GGUF files: ${listed(gguf)}`, {
      kind: 'usage',
      hint: 'name one: hf:owner/name/FILE.gguf',
      details: { files: gguf.map(({ path }) => path) },
    });
  const onnx = ending(/^(onnx\/)?model\.onnx(_data)?$/i);
  if (onnx.length > 0) return unique([...onnx, ...beside]);
  const pickle = files.find(({ path }) => isPickle(path));
  if (pickle !== undefined) throw pickled(pickle.path);
  throw new InkstoneError('model_missing', 'there are no weights here that can be read', {
    kind: 'missing',
    hint: 'safetensors, GGUF and ONNX are read',
  });
}

/** The sharded or the single set, not both. */
function preferred(weights: readonly RemoteFile[]): RemoteFile[] {
  const single = weights.filter(({ path }) => path === 'model.safetensors');
  if (single.length > 0) return single;
  const shards = weights.filter(({ path }) => /^model-\d+-of-\d+\.safetensors$/i.test(path));
  return shards.length > 0 ? shards : [...weights];
}

function unique(files: readonly RemoteFile[]): RemoteFile[] {
  const seen = new Map<string, RemoteFile>();
  for (const file of files) {
    // Some disks know no case.
    const key = file.path.toLowerCase();
    if (!seen.has(key)) seen.set(key, file);
  }
  return [...seen.values()];
}

const listed = (files: readonly RemoteFile[]): string =>
  files
    .slice(0, 12)
    .map(({ path, size }) => `${path} (${bytes(size)})`)
    .join(', ');
