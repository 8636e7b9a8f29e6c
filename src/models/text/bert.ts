/**
 * BERT (Devlin et al. 2019): post-norm blocks that see both ways, exact GELU, segment embeddings, a tanh pooler, and
 * heads: masked tokens (tied to the embedding), next sentence, classes, and spans. Says which parameters there are and
 * what the network computes; names and layout are Hugging Face's (matrices `[out, in]`).
 */
import { z } from 'zod';
import { additiveMask, groupedAttention, joinHeads, splitHeads } from '../../nn/attention.ts';
import { countParameters, type ParameterSpec } from '../../nn/parameters.ts';
import type { Dropout } from '../../nn/train-step.ts';
import {
  add,
  gather,
  geluExact,
  iota,
  matmul,
  reshape,
  type Size,
  slice,
  swapAxes,
  type Tensor,
  tanh,
} from '../../program/index.ts';
import type { Parameters } from './architecture.ts';
import { linearTransposed as linear, norm, parameter } from './layers.ts';

const sizes = z.object({
  architecture: z.literal('bert'),
  layers: z.number().int().min(1).max(200),
  heads: z.number().int().min(1).max(256),
  width: z.number().int().min(1).max(65536),
  /** Width inside the feed-forward network. */
  hidden: z.number().int().min(1).max(1048576),
  context: z.number().int().min(2).max(1048576),
  vocabulary: z.number().int().min(2).max(1048576),
  /** Kinds of segments. */
  segments: z.number().int().min(1).max(16).default(2),
  epsilon: z.number().gt(0).default(1e-12),
  /** Heads of the first layer that begin by looking for the same word (`bert-start.ts`). */
  matching: z.number().int().min(0).max(256).default(0),
  pooler: z.boolean().default(true),
  /** The head that names masked tokens. */
  masked: z.boolean().default(true),
  /** The head that tells whether the second sentence follows the first. */
  next: z.boolean().default(true),
  /** What a nat of that question counts beside a nat of a masked token, in training. */
  nextWeight: z.number().positive().default(1),
  /** Classes of a sentence; 0 for none. */
  classes: z.number().int().min(0).max(100000).default(0),
  /** The head that marks where an answer begins and ends. */
  span: z.boolean().default(false),
});
export const bertConfig = sizes
  .refine((c) => c.width % c.heads === 0, { message: 'width must be a multiple of heads' })
  .refine((c) => c.matching <= c.heads, { message: 'matching must not exceed heads' })
  .refine((c) => c.pooler || (!c.next && c.classes === 0), {
    message: 'next sentence and classes need the pooler',
  });
export type BertConfig = z.infer<typeof sizes>;

export function bertParameters(config: BertConfig): ParameterSpec[] {
  const { layers, width, hidden, context, vocabulary, segments, classes } = config;
  const small = { name: 'normal', deviation: 0.02 } as const;
  const specs: ParameterSpec[] = [];
  const embedding = (name: string, rows: number): void => {
    specs.push({ name: `${name}.weight`, shape: [rows, width], initialiser: small, role: 'embedding' });
  };
  const vector = (name: string, size: number, start: 'ones' | 'zeros'): void => {
    specs.push({ name, shape: [size], initialiser: { name: start }, role: 'vector' });
  };
  const normed = (name: string): void => {
    vector(`${name}.weight`, width, 'ones');
    vector(`${name}.bias`, width, 'zeros');
  };
  const dense = (name: string, out: number, size: number, role: ParameterSpec['role'] = 'matrix'): void => {
    specs.push({ name: `${name}.weight`, shape: [out, size], initialiser: small, role });
    vector(`${name}.bias`, out, 'zeros');
  };
  embedding('bert.embeddings.word_embeddings', vocabulary);
  embedding('bert.embeddings.position_embeddings', context);
  embedding('bert.embeddings.token_type_embeddings', segments);
  normed('bert.embeddings.LayerNorm');
  for (let layer = 0; layer < layers; layer++) {
    const at = `bert.encoder.layer.${layer}`;
    for (const name of ['query', 'key', 'value']) dense(`${at}.attention.self.${name}`, width, width);
    dense(`${at}.attention.output.dense`, width, width);
    normed(`${at}.attention.output.LayerNorm`);
    dense(`${at}.intermediate.dense`, hidden, width);
    dense(`${at}.output.dense`, width, hidden);
    normed(`${at}.output.LayerNorm`);
  }
  if (config.pooler) dense('bert.pooler.dense', width, width);
  if (config.masked) {
    dense('cls.predictions.transform.dense', width, width);
    normed('cls.predictions.transform.LayerNorm');
    vector('cls.predictions.bias', vocabulary, 'zeros');
  }
  // Heads with a few rows: no matrices in the optimiser's sense.
  if (config.next) dense('cls.seq_relationship', 2, width, 'embedding');
  if (classes > 0) dense('classifier', classes, width, 'embedding');
  if (config.span) dense('qa_outputs', 2, width, 'embedding');
  return specs;
}

export const bertParameterCount = (config: BertConfig): number => countParameters(bertParameters(config));

export interface BertInputs {
  /** `[batch, time] i32` */
  tokens: Tensor;
  /** `[batch, time] i32`: 0 for the first sentence, 1 for the second. */
  segments: Tensor;
  /** `[batch] i32`: tokens that count; what follows is filling. */
  length: Tensor;
}

/** `[batch, time, width]` after the last block. Dropout falls 1 + 2·layers times on such a tensor. */
export function bertHidden(
  config: BertConfig,
  parameters: Parameters,
  { tokens, segments, length }: BertInputs,
  dropout: Dropout = (x) => x,
  /** Told of each layer's queries and keys, and of what is added to their scores. */
  looked?: (layer: number, q: Tensor, k: Tensor, mask: Tensor | undefined) => void,
): Tensor {
  const { layers, heads, width, epsilon } = config;
  const time = tokens.shape[1] as Size;
  const of = (name: string, ids: Tensor): Tensor =>
    gather(parameter(parameters, `bert.embeddings.${name}_embeddings.weight`), ids);
  const summed = add(add(of('word', tokens), of('position', iota(time))), of('token_type', segments));
  let x = dropout(norm(parameters, 'bert.embeddings.LayerNorm', summed, epsilon));
  const mask = additiveMask({ kind: 'padding', length }, time);
  for (let layer = 0; layer < layers; layer++) {
    const at = `bert.encoder.layer.${layer}`;
    const [q, k, v] = ['query', 'key', 'value'].map((name) =>
      splitHeads(linear(parameters, `${at}.attention.self.${name}`, x), heads, width / heads),
    ) as [Tensor, Tensor, Tensor];
    looked?.(layer, q, k, mask);
    const seen = joinHeads(groupedAttention(q, k, v, mask));
    const mixed = add(x, dropout(linear(parameters, `${at}.attention.output.dense`, seen)));
    const y = norm(parameters, `${at}.attention.output.LayerNorm`, mixed, epsilon);
    const inner = geluExact(linear(parameters, `${at}.intermediate.dense`, y));
    const after = add(y, dropout(linear(parameters, `${at}.output.dense`, inner)));
    x = norm(parameters, `${at}.output.LayerNorm`, after, epsilon);
  }
  return x;
}

/** The first token through a tanh layer: `[batch, time, width] → [batch, width]`. */
export function bertPooled(config: BertConfig, parameters: Parameters, hidden: Tensor): Tensor {
  const first = reshape(slice(hidden, { axis: 1, start: 0, end: 1 }), [
    hidden.shape[0] as Size,
    config.width,
  ]);
  return tanh(linear(parameters, 'bert.pooler.dense', first));
}

/** Scores over the vocabulary: `[rows, width] → [rows, vocabulary]`. */
export function bertMaskedHead(config: BertConfig, parameters: Parameters, rows: Tensor): Tensor {
  const raised = geluExact(linear(parameters, 'cls.predictions.transform.dense', rows));
  const normed = norm(parameters, 'cls.predictions.transform.LayerNorm', raised, config.epsilon);
  const scores = matmul(normed, swapAxes(parameter(parameters, 'bert.embeddings.word_embeddings.weight')));
  return add(scores, parameter(parameters, 'cls.predictions.bias'));
}

/** `[batch, 2]`: scores for "follows" and "does not". */
export const bertNextHead = (parameters: Parameters, pooled: Tensor): Tensor =>
  linear(parameters, 'cls.seq_relationship', pooled);

/** `[batch, classes]`. */
export const bertClassHead = (parameters: Parameters, pooled: Tensor): Tensor =>
  linear(parameters, 'classifier', pooled);

/** `[batch, time, 2]`: scores for the beginning and the end of a span. */
export const bertSpanHead = (parameters: Parameters, hidden: Tensor): Tensor =>
  linear(parameters, 'qa_outputs', hidden);
