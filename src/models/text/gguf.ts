/**
 * A text model as a GGUF file that llama.cpp loads: Llama-style, Qwen 2 and 3, and GPT-2. Knows llama.cpp's names and
 * layouts; knows no files.
 */
import { InkstoneError } from '../../base/errors.ts';
import { type HostTensors, sizeOf } from '../../base/tensor.ts';
import { byteToCharacter } from '../../data/tokenizer/byte-alphabet.ts';
import type { Tokenizer } from '../../data/tokenizer/tokenizer.ts';
import type { GgufFile, GgufTensor, GgufValue } from '../../formats/gguf.ts';
import { GGML_TYPES, type GgmlType } from '../../formats/gguf-blocks.ts';
import type { TextConfig } from './architectures.ts';
import { type Gpt2Config, gpt2Parameters } from './gpt2.ts';
import { type LlamaConfig, rotaryFrequencies } from './llama.ts';

export interface GgufModel {
  name: string;
  config: TextConfig;
  weights: HostTensors;
  tokenizer: Tokenizer;
  /** How it wants turns to be written (Jinja). */
  template?: { source: string };
}

/** How matrices are kept; vectors stay f32. */
export type GgufPrecision = 'f32' | 'f16' | 'q8_0' | 'q4_0';

/** llama.cpp's numbers for what most of a file is made of. */
const FILE_TYPE: Record<GgufPrecision, number> = { f32: 0, f16: 1, q4_0: 2, q8_0: 7 };

function unsupported(what: string, hint: string): InkstoneError {
  return new InkstoneError('format_unsupported', what, { kind: 'unsupported', hint });
}

/** @throws InkstoneError `format_unsupported` for what llama.cpp has no layout for */
export function toGguf(model: GgufModel, precision: GgufPrecision = 'f16'): GgufFile {
  const { config } = model;
  const { architecture, values, tensors } =
    config.architecture === 'llama'
      ? llamaParts(config, model.weights)
      : (config.architecture ?? 'gpt2') === 'gpt2'
        ? gpt2Parts(config as Gpt2Config, model.weights)
        : unsupportedArchitecture(config.architecture as string);
  const u32 = (value: number): GgufValue => ({ type: 'u32', value });
  const own = Object.fromEntries(
    Object.entries({
      context_length: u32(config.context),
      embedding_length: u32(config.width),
      block_count: u32(config.layers),
      'attention.head_count': u32(config.heads),
      vocab_size: u32(config.vocabulary),
      ...values,
    }).map(([key, value]) => [`${architecture}.${key}`, value]),
  );
  return {
    metadata: {
      'general.architecture': { type: 'string', value: architecture },
      'general.name': { type: 'string', value: model.name },
      'general.file_type': u32(FILE_TYPE[precision]),
      'general.quantization_version': u32(2),
      ...own,
      ...vocabulary(model.tokenizer, config.vocabulary),
      ...(model.template === undefined
        ? {}
        : { 'tokenizer.chat_template': { type: 'string', value: model.template.source } as const }),
    },
    tensors: tensors.map(({ name, shape, data }) => ({ name, shape, data, type: typeOf(shape, precision) })),
  };
}

function unsupportedArchitecture(name: string): never {
  throw unsupported(
    `llama.cpp has no layout for ${name}`,
    'Llama-style models and GPT-2 can be exported as GGUF',
  );
}

type Plain = Omit<GgufTensor, 'type'>;
interface Parts {
  architecture: string;
  values: Record<string, GgufValue>;
  tensors: Plain[];
}

function typeOf(shape: readonly number[], precision: GgufPrecision): GgmlType {
  if (shape.length < 2) return 'f32';
  const fits = (shape.at(-1) as number) % GGML_TYPES[precision].block === 0;
  return fits ? precision : 'f16';
}

/** Rows of queries and keys in the order of interleaved pairs, where Hugging Face keeps halves. */
function interleaved(data: Float32Array, heads: number, shape: readonly number[]): Float32Array {
  const [rows, columns] = [shape[0] as number, sizeOf(shape.slice(1))];
  const dim = rows / heads;
  const made = new Float32Array(data.length);
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < dim / 2; i++) {
      for (const half of [0, 1]) {
        const from = (head * dim + half * (dim / 2) + i) * columns;
        made.set(data.subarray(from, from + columns), (head * dim + 2 * i + half) * columns);
      }
    }
  }
  return made;
}

function llamaParts(config: LlamaConfig, weights: HostTensors): Parts {
  const architecture = config.headNorm ? 'qwen3' : config.attentionBias ? 'qwen2' : 'llama';
  if (config.window !== undefined && config.window < config.context)
    throw unsupported(
      'llama.cpp’s Llama layout has no sliding window',
      'serve it here, or export it as safetensors',
    );
  const names: Record<string, string> = {
    'model.embed_tokens.weight': 'token_embd.weight',
    'model.norm.weight': 'output_norm.weight',
    'lm_head.weight': 'output.weight',
  };
  const inner: Record<string, string> = {
    input_layernorm: 'attn_norm',
    'self_attn.q_proj': 'attn_q',
    'self_attn.k_proj': 'attn_k',
    'self_attn.v_proj': 'attn_v',
    'self_attn.o_proj': 'attn_output',
    'self_attn.q_norm': 'attn_q_norm',
    'self_attn.k_norm': 'attn_k_norm',
    post_attention_layernorm: 'ffn_norm',
    'mlp.gate_proj': 'ffn_gate',
    'mlp.up_proj': 'ffn_up',
    'mlp.down_proj': 'ffn_down',
  };
  const tensors = Object.entries(weights).map(([name, { shape, data }]): Plain => {
    const known = names[name];
    if (known !== undefined) return { name: known, shape, data: data as Float32Array };
    const [, layer, part, kind] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(
      name,
    ) as unknown as string[];
    // Only the plain Llama layout turns neighbours; Qwen's turns halves.
    const heads =
      part === 'self_attn.q_proj' ? config.heads : part === 'self_attn.k_proj' ? config.keyHeads : 0;
    const turned =
      architecture === 'llama' && heads > 0
        ? interleaved(data as Float32Array, heads, shape)
        : (data as Float32Array);
    return { name: `blk.${layer}.${inner[part as string]}.${kind}`, shape, data: turned };
  });
  if (config.rotaryScaling !== undefined) {
    // llama.cpp divides each frequency by a factor of its own.
    const scaled = rotaryFrequencies(config);
    const plain = rotaryFrequencies({ ...config, rotaryScaling: undefined });
    tensors.push({
      name: 'rope_freqs.weight',
      shape: [scaled.length],
      data: Float32Array.from(scaled, (value, i) => (plain[i] as number) / value),
    });
  }
  const u32 = (value: number): GgufValue => ({ type: 'u32', value });
  return {
    architecture,
    tensors,
    values: {
      feed_forward_length: u32(config.hidden),
      'attention.head_count_kv': u32(config.keyHeads),
      'attention.key_length': u32(config.headWidth),
      'attention.value_length': u32(config.headWidth),
      'attention.layer_norm_rms_epsilon': { type: 'f32', value: config.epsilon },
      'rope.dimension_count': u32(config.headWidth),
      'rope.freq_base': { type: 'f32', value: config.rotaryBase },
    },
  };
}

function gpt2Parts(config: Gpt2Config, weights: HostTensors): Parts {
  const inner: Record<string, string> = {
    ln_1: 'attn_norm',
    'attn.c_attn': 'attn_qkv',
    'attn.c_proj': 'attn_output',
    ln_2: 'ffn_norm',
    'mlp.c_fc': 'ffn_up',
    'mlp.c_proj': 'ffn_down',
  };
  const names: Record<string, string> = {
    'wte.weight': 'token_embd.weight',
    'wpe.weight': 'position_embd.weight',
    'ln_f.weight': 'output_norm.weight',
    'ln_f.bias': 'output_norm.bias',
  };
  // llama.cpp's GPT-2 always has biases: zeros stand in for those that this model lacks.
  const tensors = gpt2Parameters({ ...config, bias: true }).map(({ name, shape }): Plain => {
    const data = (weights[name]?.data as Float32Array | undefined) ?? new Float32Array(sizeOf(shape));
    const known = names[name];
    if (known !== undefined) return { name: known, shape, data };
    const [, layer, part, kind] = /^h\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) as unknown as string[];
    const made = { name: `blk.${layer}.${inner[part as string]}.${kind}`, shape, data };
    return shape.length === 2 ? { ...made, ...transposed(data, shape) } : made;
  });
  return {
    architecture: 'gpt2',
    tensors,
    values: {
      feed_forward_length: { type: 'u32', value: 4 * config.width },
      'attention.layer_norm_epsilon': { type: 'f32', value: 1e-5 },
    },
  };
}

function transposed(
  data: Float32Array,
  [rows, columns]: readonly number[],
): { shape: number[]; data: Float32Array } {
  const [r, c] = [rows as number, columns as number];
  const made = new Float32Array(data.length);
  for (let i = 0; i < r; i++) for (let j = 0; j < c; j++) made[j * r + i] = data[i * c + j] as number;
  return { shape: [c, r], data: made };
}

/** llama.cpp's kinds of tokens. */
const [NORMAL, CONTROL, UNUSED] = [1, 3, 5] as const;

interface TokenizerFile {
  model: {
    type: string;
    vocab: Record<string, number>;
    merges?: (string | [string, string])[];
    byte_fallback?: boolean;
  };
  added_tokens?: { id: number; content: string }[];
  pre_tokenizer?: { type: string; pretokenizers?: { type: string; pattern?: { Regex?: string } }[] } | null;
  decoder?: { type: string } | null;
}

const WORD_TAIL =
  '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}COUNT| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
/** llama.cpp's names for the patterns that cut a text before its merges. */
const CUTTINGS: Readonly<Record<string, string>> = {
  [`(?i:'s|'t|'re|'ve|'m|'ll|'d)|${WORD_TAIL.replace('COUNT', '{1,3}')}`]: 'llama-bpe',
  [`(?i:'s|'t|'re|'ve|'m|'ll|'d)|${WORD_TAIL.replace('COUNT', '')}`]: 'qwen2',
};

/** @throws InkstoneError `format_unsupported` */
function cuttingOf(tokenizer: Tokenizer, { model, pre_tokenizer, decoder }: TokenizerFile): string {
  if (tokenizer.kind === 'characters' || pre_tokenizer?.type === 'ByteLevel') return 'gpt-2';
  const pattern = pre_tokenizer?.pretokenizers?.[0]?.pattern?.Regex ?? '';
  const name = CUTTINGS[pattern];
  if (name !== undefined && decoder?.type === 'ByteLevel' && model.byte_fallback !== true) return name;
  throw unsupported(
    'this tokenizer cannot be exported as GGUF',
    'byte-level BPE that cuts words as GPT-2, Llama 3 or Qwen 2 can',
  );
}

/** @throws InkstoneError `format_unsupported` for tokenizers that llama.cpp cannot follow */
function vocabulary(tokenizer: Tokenizer, size: number): Record<string, GgufValue> {
  const whole = JSON.parse(tokenizer.toJson()) as TokenizerFile;
  const { model } = whole;
  if (model.type !== 'BPE')
    throw unsupported(`a ${model.type} tokenizer cannot be exported as GGUF`, 'byte-level BPE can');
  const tokens = new Array<string>(size).fill('');
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = token;
  const added = new Set<number>();
  for (const { id, content } of whole.added_tokens ?? []) {
    tokens[id] = content;
    added.add(id);
  }
  const cutting = cuttingOf(tokenizer, whole);
  if (tokenizer.kind === 'characters') {
    const wide = tokens.find((token) => token.length > 0 && (token.codePointAt(0) as number) > 127);
    if (wide !== undefined)
      throw unsupported(
        `llama.cpp has no tokenizer of whole characters, and this one has ${JSON.stringify(wide)}`,
        'train with byte-level BPE to export as GGUF',
      );
    for (let id = 0; id < tokens.length; id++)
      if (tokens[id] !== '') tokens[id] = byteToCharacter[(tokens[id] as string).charCodeAt(0)] as string;
  }
  const end = tokenizer.endOfText;
  const kinds = tokens.map((token, id) =>
    token === '' ? UNUSED : id === end || added.has(id) ? CONTROL : NORMAL,
  );
  tokens.forEach((token, id) => {
    if (token === '') tokens[id] = `[unused ${id}]`;
  });
  const merges = (model.merges ?? []).map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  const id = (value: number): GgufValue => ({ type: 'u32', value });
  return {
    'tokenizer.ggml.model': { type: 'string', value: 'gpt2' },
    'tokenizer.ggml.pre': { type: 'string', value: cutting },
    'tokenizer.ggml.tokens': { type: 'strings', value: tokens },
    'tokenizer.ggml.token_type': { type: 'i32s', value: kinds },
    'tokenizer.ggml.merges': { type: 'strings', value: merges },
    'tokenizer.ggml.add_bos_token': { type: 'bool', value: false },
    ...(end === undefined
      ? {}
      : { 'tokenizer.ggml.bos_token_id': id(end), 'tokenizer.ggml.eos_token_id': id(end) }),
  };
}
