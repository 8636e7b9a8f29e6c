/** Every request body, query and answer of the server, once: validation, OpenAPI and the studio's types come from here. */
import { z } from 'zod';
import { imageChoices } from '../train/image-choices.ts';
import { responseFormat, structuredOutputs } from './structured.ts';
import { chatTool, chatToolChoice } from './tools.ts';

const stop = z.union([z.string(), z.array(z.string()).max(16)]).nullish();

/** What both completion routes take. */
const sampling = {
  model: z.string().min(1),
  max_tokens: z.int().min(1).max(1_000_000).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  /** Not OpenAI's; vLLM's and others'. */
  top_k: z.int().min(-1).nullish(),
  n: z.int().min(1).max(16).nullish(),
  seed: z.int().nullish(),
  stop,
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  user: z.string().nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  /** By token id of this model. */
  logit_bias: z
    .record(z.string().regex(/^\d+$/, 'must be a token id'), z.number().min(-100).max(100))
    .nullish(),
  /** Not OpenAI's; vLLM's and others'. */
  repetition_penalty: z.number().gt(0).max(10).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  /** Texts that compete; the best `n` of them are given. With a beam search its width. */
  best_of: z.int().min(1).max(16).nullish(),
  use_beam_search: z.boolean().nullish(),
  /** Of a beam search. */
  length_penalty: z.number().min(-10).max(10).nullish(),
  response_format: responseFormat.nullish(),
  structured_outputs: structuredOutputs.nullish(),
};

export const completionBody = z.looseObject({
  ...sampling,
  prompt: z.union([z.string(), z.array(z.string()).min(1).max(32)]).default(''),
  logprobs: z.int().min(0).max(20).nullish(),
  echo: z.boolean().nullish(),
  /** Nothing may be wanted but the prompt's own log-probabilities. */
  max_tokens: z.int().min(0).max(1_000_000).nullish(),
  suffix: z.string().nullish(),
});
export type CompletionBody = z.infer<typeof completionBody>;

const textPart = z.looseObject({
  type: z.string(),
  text: z.string().optional(),
  refusal: z.string().optional(),
});
const toolCall = z.looseObject({
  id: z.string().min(1),
  type: z.literal('function'),
  function: z.looseObject({ name: z.string().min(1), arguments: z.string() }),
});
export const chatMessage = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: z.union([z.string(), z.array(textPart)]).nullish(),
  name: z.string().nullish(),
  /** Of an assistant. */
  tool_calls: z.array(toolCall).nullish(),
  /** Of a tool. */
  tool_call_id: z.string().nullish(),
});
export type ChatMessage = z.infer<typeof chatMessage>;

export const chatBody = z.looseObject({
  ...sampling,
  messages: z.array(chatMessage).min(1),
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  tools: z.array(chatTool).max(128).nullish(),
  tool_choice: chatToolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
});
export type ChatBody = z.infer<typeof chatBody>;

const embedded = z.string().min(1, 'an empty text has no embedding');
export const embeddingBody = z.looseObject({
  model: z.string().min(1),
  input: z.union([embedded, z.array(embedded).min(1).max(2048)], {
    error: 'must be a text or a list of 1 to 2048 texts, none of them empty',
  }),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.int().min(1).nullish(),
  user: z.string().nullish(),
});

export const trainingBody = z.object({
  name: z.string().min(1).max(64),
  /** Id of an uploaded file. */
  file: z.string().min(1),
  /** Not needed where a model is gone on from. */
  preset: z.string().min(1).optional(),
  /** A model to go on from. */
  from: z.string().min(1).optional(),
  steps: z.int().min(1).max(10_000_000).optional(),
  seed: z.int().min(0).optional(),
  /** With `from` only. */
  learning_rate: z.number().gt(0).max(10).optional(),
  batch_size: z.int().min(1).max(1024).optional(),
  /** With `from` a model of pictures: layers that do not learn, by the beginnings of their names; what the critic sees. */
  freeze: z.array(z.string().min(1).max(200)).max(200).optional(),
  augment: z.enum(['none', 'ada', 'diffusion']).optional(),
  /** Of pictures only. */
  ...imageChoices.shape,
});
export type TrainingBody = z.infer<typeof trainingBody>;

export const checkQuery = z.object({ model: z.string().min(1) });

export const inspectBody = z.object({
  model: z.string().min(1),
  text: z.string(),
  /** Likeliest tokens to name at each place. */
  top: z.int().min(0).max(10).default(5),
  /** Of every layer, or of those that are named, counted from 0. */
  attention: z.union([z.boolean(), z.array(z.int().min(0)).min(1).max(256)]).default(false),
  /** Tokens from one window to the next, where the text is longer than the model's context. */
  stride: z.int().min(1).optional(),
  /** How maps are written: nested lists, or base64 of float32, `[heads, tokens, tokens]`. */
  format: z.enum(['numbers', 'base64']).default('numbers'),
});
export type InspectBody = z.infer<typeof inspectBody>;

const contender = z.object({
  /** What it is counted under: a model, or a model with a prompt. */
  name: z.string().min(1).max(300),
  model: z.string().min(1).max(200),
  prompt: z.string().max(20_000).optional(),
  settings: z.record(z.string(), z.unknown()).optional(),
  /** What it answered. */
  text: z.string().max(100_000).optional(),
});
export const voteBody = z.object({
  a: contender,
  b: contender,
  winner: z.enum(['a', 'b', 'tie']),
  /** The voter did not know which was which. */
  blind: z.boolean().default(false),
  input: z.string().max(100_000).optional(),
});
export type VoteBody = z.infer<typeof voteBody>;

export const fileQuery = z.object({ name: z.string().min(1).max(255) });

export const listQuery = z.object({
  after: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(10_000).optional(),
  purpose: z.string().optional(),
  order: z.enum(['asc', 'desc']).optional(),
});

const auto = (least: number, most: number) =>
  z.union([z.literal('auto'), z.number().min(least).max(most)]).nullish();
const hyperparameters = z.looseObject({
  n_epochs: auto(1, 1000),
  batch_size: auto(1, 1024),
  learning_rate_multiplier: auto(1e-6, 1000),
  /** Not OpenAI's: rank of low-rank adapters; `auto` lets all weights learn. */
  lora_rank: auto(1, 1024),
});

export const fineTuningBody = z.looseObject({
  model: z.string().min(1),
  training_file: z.string().min(1),
  validation_file: z.string().nullish(),
  suffix: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[A-Za-z0-9_-]+$/, 'must be letters, digits, dashes and underscores')
    .nullish(),
  seed: z.int().min(0).max(2_147_483_647).nullish(),
  hyperparameters: hyperparameters.nullish(),
  method: z
    .looseObject({
      type: z.string(),
      supervised: z.looseObject({ hyperparameters: hyperparameters.nullish() }).nullish(),
    })
    .nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
});
export type FineTuningBody = z.infer<typeof fineTuningBody>;
