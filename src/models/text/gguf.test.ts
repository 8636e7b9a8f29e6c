/** A model as llama.cpp wants it: names, metadata, turned queries; what it has no layout for is refused. */
import { expect, test } from 'vitest';
import type { BpeTokenizer } from '../../data/tokenizer/bpe.ts';
import { trainBpe, WordCounter } from '../../data/tokenizer/bpe-train.ts';
import { CharacterTokenizer } from '../../data/tokenizer/characters.ts';
import { initialise } from '../../nn/parameters.ts';
import { type TextConfig, textConfig, textParameters } from './architectures.ts';
import { toGguf } from './gguf.ts';

const counter = new WordCounter();
counter.add('the words of the world are worn and the world is wide '.repeat(5));
const tokenizer = trainBpe(counter.counts, 280);
const sizes = { layers: 2, heads: 4, width: 16, context: 8, vocabulary: tokenizer.vocabularySize };
const llama = textConfig.parse({ architecture: 'llama', ...sizes, keyHeads: 2, headWidth: 4, hidden: 32 });
const modelOf = (config: TextConfig, own: BpeTokenizer | CharacterTokenizer = tokenizer) => ({
  ...{ name: 'test', config, tokenizer: own },
  weights: initialise(textParameters(config), 1),
});

test('a Llama has llama.cpp’s names, and its queries turn neighbours instead of halves', () => {
  const model = modelOf(llama);
  const { metadata, tensors } = toGguf(model, 'q8_0');
  expect(metadata['general.architecture']?.value).toBe('llama');
  expect(metadata['llama.attention.head_count_kv']?.value).toBe(2);
  expect(metadata['tokenizer.ggml.tokens']?.value).toHaveLength(sizes.vocabulary);
  expect(metadata['tokenizer.ggml.eos_token_id']?.value).toBe(tokenizer.endOfText);
  const named = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  expect(named.size).toBe(2 * 9 + 3);
  expect(named.get('blk.1.ffn_gate.weight')).toMatchObject({ shape: [32, 16], type: 'f16' });
  expect(named.get('blk.1.ffn_down.weight')).toMatchObject({ shape: [16, 32], type: 'q8_0' });
  expect(named.get('output_norm.weight')).toMatchObject({ type: 'f32' });
  const before = model.weights['model.layers.0.self_attn.q_proj.weight']?.data as Float32Array;
  const after = named.get('blk.0.attn_q.weight')?.data as Float32Array;
  const row = (data: Float32Array, r: number): number[] => Array.from(data.subarray(16 * r, 16 * r + 16));
  // Head 1 has rows 4 to 7: halves (4, 5 | 6, 7) become pairs (4, 6), (5, 7).
  expect([4, 5, 6, 7].map((r) => row(after, r))).toEqual([4, 6, 5, 7].map((r) => row(before, r)));
});

test('a GPT-2 has its matrices turned and zeros for biases that it lacks', () => {
  const { metadata, tensors } = toGguf(modelOf({ ...sizes, bias: false }), 'f32');
  expect(metadata['general.architecture']?.value).toBe('gpt2');
  const named = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  expect(named.get('blk.0.attn_qkv.weight')?.shape).toEqual([48, 16]);
  expect(named.get('blk.1.ffn_down.bias')?.data.every((value) => value === 0)).toBe(true);
});

test('what llama.cpp has no layout for is refused', () => {
  const refused = (model: Parameters<typeof toGguf>[0]): void => {
    expect(() => toGguf(model)).toThrow(expect.objectContaining({ code: 'format_unsupported' }));
  };
  refused(modelOf({ architecture: 'pangu', ...sizes, bias: true }));
  refused(modelOf({ ...llama, window: 4 } as TextConfig));
  refused(modelOf(llama, CharacterTokenizer.fromCharacters('aé')));
});
