/** Looking inside a text model: how each token of a text surprised it, and where its heads looked. Types only. */
import type { TokenProbability } from './generator.ts';

export interface InspectionRequest {
  text: string;
  /** Most likely tokens to name at each place. */
  top: number;
  /** Layers whose attention is wanted, counted from 0. */
  layers: 'all' | 'none' | readonly number[];
  /** Tokens from one window to the next, where the text is longer than the model's context; default: half of it. */
  stride?: number | undefined;
}

export interface InspectedToken {
  id: number;
  token: string;
  /** UTF-8 bytes of the token. */
  bytes: readonly number[];
  /** What it adds to the text so far; empty for all but the last part of a character. */
  text: string;
  /** −ln of its probability, in nats; undefined where nothing comes before it, and for marks of the model's own. */
  surprise?: number;
  /** 1 for the most likely token of all, 2 for the next. */
  rank?: number;
  /** The most likely at its place, best first. */
  top: readonly TokenProbability[];
}

export interface LayerAttention {
  layer: number;
  heads: number;
  /** `[heads, tokens, tokens]`: how much each token (row) looks at each (column); a row adds up to 1. */
  weights: Float32Array;
}

export interface TextInspection {
  tokens: readonly InspectedToken[];
  attention: readonly LayerAttention[];
  /** Sum of all surprises, in nats, over `predictions` tokens. */
  nats: number;
  predictions: number;
  /** UTF-8 bytes of the predicted tokens. */
  bytes: number;
  /** `causal`: from what comes before. `masked`: each token hidden in turn and guessed from all the others. */
  kind: 'causal' | 'masked';
}
