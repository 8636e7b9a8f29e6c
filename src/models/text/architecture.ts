/**
 * What an autoregressive text architecture is: its configuration, its parameters, and its network written once;
 * the programs that train, score, export and decode it are made from that. Types only.
 */
import type { z } from 'zod';
import type { HostTensors } from '../../base/tensor.ts';
import type { AttentionMask } from '../../nn/attention.ts';
import type { ParameterSpec } from '../../nn/parameters.ts';
import type { Dropout } from '../../nn/train-step.ts';
import type { Tensor } from '../../program/index.ts';
import type { Joins } from './joins.ts';

/** What every text configuration says, whatever else it says. */
export interface TextSizes {
  layers: number;
  /** Query heads. */
  heads: number;
  width: number;
  /** The longest sequence, in tokens. */
  context: number;
  vocabulary: number;
}

export type Parameters = Readonly<Record<string, Tensor>>;

/** Attention as the program has it: over the whole window, or over a cache. */
export interface AttendCall {
  layer: number;
  /** `[batch, head, time, dim]` */
  q: Tensor;
  /** `[batch, key head, time, dim]` */
  k: Tensor;
  v: Tensor;
  mask: AttentionMask;
}

export interface NetworkCall {
  /** `[batch, time] i32` */
  tokens: Tensor;
  /** `[time]` or `[batch, time] i32` */
  positions: Tensor;
  /** `[batch, head, time, dim]` */
  attend(call: AttendCall): Tensor;
  dropout: Dropout;
}

/** How a foreign checkpoint's folder is read and written. */
export interface HuggingFaceLayout<C> {
  architecture: string;
  /** `model_type` in config.json. */
  modelTypes: readonly string[];
  /** @throws InkstoneError `config_unsupported` */
  readConfig(raw: Record<string, unknown>): C;
  writeConfig(config: C, endOfText: number | undefined): Record<string, unknown>;
  /** Our parameters by our names, from theirs. */
  readTensors(tensors: HostTensors, config: C): HostTensors;
  writeTensors(parameters: HostTensors, config: C): HostTensors;
}

export interface TextArchitecture<C extends TextSizes = TextSizes> {
  name: string;
  config: z.ZodType<C>;
  parameters(config: C): ParameterSpec[];
  /** Layers that may be one in a served model; its network takes the joined ones where they are there. */
  joins?(config: C): Joins;
  /** Heads of the cache and numbers per head. */
  cache(config: C): { heads: number; dim: number };
  /** Everything but the head: `[batch, time, width]`, normalised. Dropout falls 1 + 2·layers times on such a tensor. */
  network(config: C, parameters: Parameters, call: NetworkCall): Tensor;
  /** Scores over the vocabulary: `[.., width] → [.., vocabulary]`. */
  head(config: C, parameters: Parameters, hidden: Tensor): Tensor;
}
