/** Text models that are ready to train, by name: sizes, tokenizer, and how they learn. */
import type { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import type { trainingConfig } from '../../nn/training-config.ts';
import type { TextArchitectureName, TextConfig } from './architectures.ts';

/** A configuration but for the vocabulary, which comes from the tokenizer. */
export type TextModelSettings = TextConfig extends infer C
  ? C extends TextConfig
    ? Omit<C, 'vocabulary' | 'architecture'>
    : never
  : never;

export interface TextPreset {
  id: string;
  title: string;
  description: string;
  architecture: TextArchitectureName;
  tokenizer: { name: 'characters' } | { name: 'words' | 'bpe'; vocabulary: number };
  model: TextModelSettings;
  training: z.input<typeof trainingConfig>;
}

const smallTraining: TextPreset['training'] = {
  steps: 1000,
  batch: 16,
  context: 256,
  learningRate: 0.02,
  dropout: 0.1,
  optimiser: { name: 'muon', weightDecay: 0.1, adamRate: 0.15 },
  schedule: { name: 'linear', warmup: 50, decay: 0.6, floor: 0 },
  evaluateEvery: 250,
  checkpointEvery: 250,
  sampleEvery: 500,
};

const tinyTraining: TextPreset['training'] = {
  steps: 200,
  batch: 8,
  context: 32,
  learningRate: 3e-3,
  optimiser: { name: 'adamw' },
  schedule: { name: 'cosine', warmup: 20, floor: 0.1 },
  evaluateEvery: 100,
  checkpointEvery: 50,
  sampleEvery: 100,
};

const llamaDefaults = { epsilon: 1e-5, rotaryBase: 10000, attentionBias: false, headNorm: false } as const;

export const textPresets: readonly TextPreset[] = [
  {
    id: 'nanogpt-cpu',
    title: 'nanoGPT, CPU size',
    description:
      '0.8 million parameters over characters; two minutes on two cores. nanoGPT’s CPU configuration, with twice its learning rate.',
    architecture: 'gpt2',
    tokenizer: { name: 'characters' },
    model: { layers: 4, heads: 4, width: 128, context: 64, bias: false },
    training: {
      steps: 2000,
      batch: 12,
      context: 64,
      learningRate: 2e-3,
      optimiser: { name: 'adamw', beta2: 0.99, weightDecay: 0.1 },
      schedule: { name: 'cosine', warmup: 100, floor: 0.05 },
    },
  },
  {
    id: 'nanogpt-10m',
    title: 'nanoGPT, GPU size',
    description:
      '10.6 million parameters over characters, context 256: the size of nanoGPT’s GPU configuration; hours on two cores.',
    architecture: 'gpt2',
    tokenizer: { name: 'characters' },
    model: { layers: 6, heads: 6, width: 384, context: 256, bias: false },
    training: {
      steps: 5000,
      batch: 8,
      context: 256,
      learningRate: 1e-3,
      dropout: 0.2,
      optimiser: { name: 'adamw', beta2: 0.99, weightDecay: 0.1 },
      schedule: { name: 'cosine', warmup: 100, floor: 0.1 },
    },
  },
  {
    id: 'shakespeare-15min',
    title: 'Shakespeare in a quarter of an hour',
    description:
      '3.2 million parameters over characters, context 256, Muon: for about a million characters and a quarter of an hour on two cores.',
    architecture: 'gpt2',
    tokenizer: { name: 'characters' },
    model: { layers: 4, heads: 4, width: 256, context: 256, bias: false },
    training: {
      steps: 1000,
      batch: 16,
      context: 256,
      learningRate: 0.02,
      dropout: 0.1,
      optimiser: { name: 'muon', weightDecay: 0.1, adamRate: 0.15 },
      schedule: { name: 'linear', warmup: 50, decay: 0.6, floor: 0 },
      evaluateEvery: 250,
      checkpointEvery: 250,
      sampleEvery: 500,
    },
  },
  {
    id: 'tang-pangu',
    title: 'Tang poems, PanGu-α',
    description:
      '6 million parameters over Chinese characters, context 128: PanGu-α’s query layer on classical poems; half an hour on two cores.',
    architecture: 'pangu',
    tokenizer: { name: 'characters' },
    model: { layers: 5, heads: 4, width: 256, context: 128, bias: true },
    training: {
      steps: 1000,
      batch: 32,
      context: 128,
      learningRate: 0.02,
      dropout: 0.1,
      optimiser: { name: 'muon', weightDecay: 0.1, adamRate: 0.15 },
      schedule: { name: 'linear', warmup: 50, decay: 0.7, floor: 0 },
      evaluateEvery: 1000,
      checkpointEvery: 200,
    },
  },
  {
    id: 'gpt3-small',
    title: 'GPT-3, small',
    description:
      'GPT-3’s alternating dense and banded attention: 4 million parameters over 2048 byte-level tokens; twenty minutes on two cores.',
    architecture: 'gpt3',
    tokenizer: { name: 'bpe', vocabulary: 2048 },
    model: { layers: 4, heads: 4, width: 256, context: 256, bias: false, window: 64 },
    training: smallTraining,
  },
  {
    id: 'pangu-small',
    title: 'PanGu-α, small',
    description:
      'PanGu-α’s query layer for Chinese: 5 million parameters over characters; twenty minutes on two cores.',
    architecture: 'pangu',
    tokenizer: { name: 'characters' },
    model: { layers: 4, heads: 4, width: 256, context: 256, bias: true },
    training: smallTraining,
  },
  {
    id: 'llama-small',
    title: 'Llama, small',
    description:
      'Rotary positions, SwiGLU and grouped queries: 3.5 million parameters over 2048 byte-level tokens; twenty minutes on two cores. Exports to GGUF.',
    architecture: 'llama',
    tokenizer: { name: 'bpe', vocabulary: 2048 },
    model: {
      ...llamaDefaults,
      layers: 4,
      heads: 4,
      keyHeads: 2,
      headWidth: 64,
      width: 256,
      hidden: 704,
      context: 256,
      tied: true,
    },
    training: smallTraining,
  },
  {
    id: 'starter',
    title: 'The starter',
    description:
      'The model that ships with Inkstone: 3072 byte-level tokens, context 256, trained on English novels.',
    architecture: 'gpt2',
    tokenizer: { name: 'bpe', vocabulary: 3072 },
    model: { layers: 6, heads: 4, width: 256, context: 256, bias: false },
    training: {
      steps: 1800,
      batch: 16,
      context: 256,
      learningRate: 0.02,
      optimiser: { name: 'muon', weightDecay: 0.05, adamRate: 0.15 },
      schedule: { name: 'linear', warmup: 50, decay: 0.5, floor: 0 },
      evaluateEvery: 300,
    },
  },
  {
    id: 'tiny',
    title: 'Tiny',
    description: 'Seconds to train: to try the commands, and for tests.',
    architecture: 'gpt2',
    tokenizer: { name: 'characters' },
    model: { layers: 2, heads: 2, width: 32, context: 32, bias: false },
    training: tinyTraining,
  },
  {
    id: 'gpt3-tiny',
    title: 'GPT-3, tiny',
    description: 'Seconds to train: banded attention, for tests.',
    architecture: 'gpt3',
    tokenizer: { name: 'characters' },
    model: { layers: 2, heads: 2, width: 32, context: 32, bias: false, window: 8 },
    training: tinyTraining,
  },
  {
    id: 'pangu-tiny',
    title: 'PanGu-α, tiny',
    description: 'Seconds to train: the query layer, for tests.',
    architecture: 'pangu',
    tokenizer: { name: 'characters' },
    model: { layers: 2, heads: 2, width: 32, context: 32, bias: true },
    training: tinyTraining,
  },
  {
    id: 'llama-tiny',
    title: 'Llama, tiny',
    description: 'Seconds to train: rotary positions and grouped queries, for tests.',
    architecture: 'llama',
    tokenizer: { name: 'characters' },
    model: {
      ...llamaDefaults,
      layers: 2,
      heads: 2,
      keyHeads: 1,
      headWidth: 16,
      width: 32,
      hidden: 64,
      context: 32,
      tied: true,
    },
    training: tinyTraining,
  },
];

/** @throws InkstoneError `preset_unknown`, with the names there are */
export function textPreset(id: string): TextPreset {
  const found = textPresets.find((preset) => preset.id === id);
  if (found !== undefined) return found;
  const names = textPresets.map((preset) => preset.id);
  throw new InkstoneError('preset_unknown', `there is no text preset "${id}"`, {
    kind: 'usage',
    hint: `the presets are ${names.join(', ')}`,
    details: { presets: names },
  });
}

/** The preset's whole configuration for a vocabulary of this size. */
export function presetConfig({ architecture, model }: TextPreset, vocabulary: number): TextConfig {
  return { architecture, ...model, vocabulary } as TextConfig;
}
