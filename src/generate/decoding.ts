/** What a decoder is given and gives: the model's programs, limits, requests and results. Types only. */
import type { BeamSettings } from '../base/contracts/generator.ts';
import type { HostTensors } from '../base/tensor.ts';
import type { Program } from '../program/types.ts';
import type { Backend } from '../runtime/contract.ts';
import type { Adjustments } from './adjustments.ts';
import type { BeamText, Held } from './beam-search.ts';
import type { LogitsProcessor, SamplingOptions, TokenLogprob } from './sampler.ts';

export interface DecoderModel {
  backend: Backend;
  context: number;
  vocabulary: number;
  layers: number;
  /** Heads of keys and values. */
  heads: number;
  headDim: number;
  /** `tokens` [batch, time], `length` [batch] → `logits` [batch, vocabulary], `keys.L`, `values.L`. */
  prefill: Program;
  /** `tokens` [batch, time], `position`, `length` [batch], caches → `logits`, `new_keys.L`, `new_values.L`. */
  chunk: Program;
  /**
   * `token` [batch], `position` [batch], caches → `logits`, `new_rows` [batch, 2·layers·heads, 1, headDim]: keys and
   * values of each layer, one after another.
   */
  step: Program;
  parameters: HostTensors;
  endOfText?: number;
}

export interface DecoderOptions {
  /** Sequences at work at a time. */
  maxBatch?: number;
  /** Bytes of keys and values that the batch may take; what does not fit waits. */
  cacheBytes?: number;
  /** Bytes of finished prompts' keys and values that are kept for prompts that begin alike; 0 for none. */
  prefixBytes?: number;
  /** `static` fills the batch and computes all its rows until the last of them ends: for comparison only. */
  batching?: 'continuous' | 'static';
}

export interface DecodedToken extends TokenLogprob {
  top: readonly TokenLogprob[];
}

export interface DecodeRequest extends SamplingOptions, Adjustments {
  tokens: readonly number[];
  maxTokens: number;
  /** How many alternatives to report; undefined for no log-probabilities. */
  logprobs?: number | undefined;
  /** Further changes to the scores, made last. */
  processors?: readonly LogitsProcessor[];
  /** Prompts' keys and values are shared only among requests of one tenant (how long one waits tells what was read before). */
  tenant?: string | undefined;
  /** False ends the sequence. */
  onToken?(token: DecodedToken): boolean;
  signal?: AbortSignal | undefined;
  /** Searches instead of sampling; `onToken` is not called. */
  beams?: BeamRequest | undefined;
}

export interface BeamRequest extends BeamSettings {
  held?: Held | undefined;
  /** Ends a text at stop strings. */
  ends?: ((answer: readonly number[]) => boolean) | undefined;
}

export interface DecodeResult {
  reason: 'stop' | 'length' | 'cancelled';
  /** Of a beam search, the best text's. */
  tokens: number[];
  /** What a beam search found, best first. */
  texts?: readonly BeamText[];
}

export interface DecoderStatus {
  /** At work, prompts that are being read among them. */
  running: number;
  waiting: number;
  slots: number;
  /** Sequences that stepped back for want of memory. */
  preempted: number;
  /** Prompt tokens that did not have to be read. */
  prefixTokens: number;
  /** Memory, in bytes: weights as all programs hold them, keys and values of the batch, those of earlier prompts. */
  weightBytes: number;
  cacheBytes: number;
  prefixBytes: number;
  /** What the keys and values of the batch may take. */
  cacheLimit: number;
  /** Tokens of all prompts so far; `prefixTokens` of them were known. */
  promptTokens: number;
}
