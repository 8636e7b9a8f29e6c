/**
 * What a GGUF file says of its model: architecture, sizes, chat template, and the bytes of each token. Knows llama.cpp's
 * keys and how its vocabularies are spelled; runs nothing.
 */
import { openFile } from '../../base/host.ts';
import { characterToByte } from '../../data/tokenizer/byte-alphabet.ts';
import { type GgufHead, readGgufHead } from '../../formats/gguf-read.ts';

export interface GgufInfo {
  architecture: string;
  name: string | undefined;
  parameters: number;
  /** The longest sequence that it was trained for. */
  context: number;
  width: number;
  vocabulary: number;
  /** It reads in both directions and writes nothing. */
  reads: boolean;
  template: { source: string; bos?: string; eos?: string } | undefined;
}

const READERS = /bert|^t5encoder$/;

/** @throws InkstoneError `gguf_corrupt`, `gguf_unsupported`, `file_missing` */
export async function ggufHead(file: string): Promise<GgufHead> {
  const opened = await openFile(file, 'read');
  try {
    return await readGgufHead(async (size) => {
      const bytes = new Uint8Array(size);
      return bytes.subarray(0, await opened.read(bytes, 0));
    }, opened.size);
  } finally {
    await opened.close();
  }
}

export function ggufInfo({ metadata, tensors }: GgufHead): GgufInfo {
  const text = (key: string): string | undefined => {
    const value = metadata[key]?.value;
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const number = (key: string): number | undefined => {
    const value = metadata[key]?.value;
    return typeof value === 'number' ? value : undefined;
  };
  const architecture = text('general.architecture') ?? 'unknown';
  const tokens = metadata['tokenizer.ggml.tokens'];
  const spelled = tokens?.type === 'strings' ? tokens.value : [];
  const token = (key: string): string | undefined => spelled[number(key) ?? -1];
  const source = text('tokenizer.chat_template');
  const bos = token('tokenizer.ggml.bos_token_id');
  const eos = token('tokenizer.ggml.eos_token_id');
  return {
    architecture,
    name: text('general.name'),
    parameters: tensors.reduce((total, { shape }) => total + shape.reduce((a, b) => a * b, 1), 0),
    context: number(`${architecture}.context_length`) ?? 2048,
    width: number(`${architecture}.embedding_length`) ?? 0,
    vocabulary: spelled.length,
    reads: READERS.test(architecture),
    template:
      source === undefined
        ? undefined
        : { source, ...(bos === undefined ? {} : { bos }), ...(eos === undefined ? {} : { eos }) },
  };
}

/** llama.cpp's kinds of tokens that write nothing: unknown, control, unused. */
const SILENT = new Set([2, 3, 5]);
const BYTE = 6;

/** What each token writes, by id; nothing for those that steer. */
export function ggufTokenBytes({ metadata }: GgufHead): Uint8Array[] {
  const tokens = metadata['tokenizer.ggml.tokens'];
  const kinds = metadata['tokenizer.ggml.token_type'];
  const model = metadata['tokenizer.ggml.model']?.value;
  const encoder = new TextEncoder();
  const empty = new Uint8Array();
  return (tokens?.type === 'strings' ? tokens.value : []).map((token, id) => {
    const kind = kinds?.type === 'i32s' || kinds?.type === 'u32s' ? kinds.value[id] : undefined;
    if (kind !== undefined && SILENT.has(kind)) return empty;
    if (model === 'gpt2') {
      const bytes = Array.from(token, (character) => characterToByte.get(character));
      // Added tokens are spelled as they are.
      return bytes.some((byte) => byte === undefined)
        ? encoder.encode(token)
        : Uint8Array.from(bytes as number[]);
    }
    const byte = kind === BYTE ? /^<0x([0-9A-F]{2})>$/i.exec(token)?.[1] : undefined;
    if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
    // SentencePiece's and WordPiece's (as llama.cpp keeps it) sign of a word's beginning.
    return encoder.encode(token.replaceAll('▁', ' '));
  });
}
