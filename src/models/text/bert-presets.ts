/** BERTs that are ready to be pre-trained, by name: sizes, vocabulary, and how they learn. */
import type { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import type { trainingConfig } from '../../nn/training-config.ts';
import { type BertConfig, bertConfig } from './bert.ts';

export interface BertPreset {
  id: string;
  title: string;
  description: string;
  /** WordPiece pieces, lower case. */
  vocabulary: number;
  model: Pick<BertConfig, 'layers' | 'heads' | 'width' | 'hidden' | 'context'> &
    Partial<Pick<BertConfig, 'matching' | 'nextWeight'>>;
  training: z.input<typeof trainingConfig>;
}

export const bertPresets: readonly BertPreset[] = [
  {
    id: 'bert-tiny',
    title: 'BERT, tiny',
    description: 'Seconds to train: to try the commands, and for tests.',
    vocabulary: 400,
    model: { layers: 2, heads: 4, width: 32, hidden: 64, context: 64, matching: 2, nextWeight: 5 },
    training: {
      ...{ steps: 200, batch: 16, context: 48, learningRate: 3e-3, dropout: 0 },
      optimiser: { name: 'adamw', weightDecay: 0.01 },
      schedule: { name: 'linear', warmup: 20, decay: 0.8, floor: 0 },
      ...{ evaluateEvery: 100, checkpointEvery: 50, sampleEvery: 0 },
    },
  },
  {
    id: 'bert-novels',
    title: 'BERT on novels',
    description:
      '1.7 million parameters for some megabytes of books: masked tokens and next sentence, context 384; about a quarter of an hour on two cores.',
    vocabulary: 8192,
    model: {
      ...{ layers: 3, heads: 4, width: 128, hidden: 512, context: 384 },
      ...{ matching: 2, nextWeight: 5 },
    },
    training: {
      ...{ steps: 2400, batch: 16, context: 384, learningRate: 8e-4, clip: 5 },
      optimiser: { name: 'adamw', weightDecay: 0.05 },
      schedule: { name: 'linear', warmup: 50, decay: 0.7, floor: 0 },
      ...{ evaluateEvery: 500, checkpointEvery: 250, sampleEvery: 0 },
    },
  },
  {
    id: 'bert-base',
    title: 'BERT, base',
    description:
      '110 million parameters and the settings of Devlin et al. (2019, appendix A.2): for machines with many cores and days.',
    vocabulary: 30522,
    model: { layers: 12, heads: 12, width: 768, hidden: 3072, context: 512 },
    training: {
      ...{ steps: 1_000_000, batch: 32, context: 512, accumulation: 8, learningRate: 1e-4, dropout: 0.1 },
      optimiser: { name: 'adamw', beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01 },
      schedule: { name: 'linear', warmup: 10_000, decay: 0.99, floor: 0 },
      ...{ evaluateEvery: 10_000, checkpointEvery: 1000, sampleEvery: 0 },
    },
  },
];

/** @throws InkstoneError `preset_unknown`, with the names there are */
export function bertPreset(id: string): BertPreset {
  const found = bertPresets.find((preset) => preset.id === id);
  if (found !== undefined) return found;
  const names = bertPresets.map((preset) => preset.id);
  throw new InkstoneError('preset_unknown', `there is no BERT preset "${id}"`, {
    kind: 'usage',
    hint: `the presets are ${names.join(', ')}`,
    details: { presets: names },
  });
}

/** The preset's whole configuration for a vocabulary of this size. */
export const bertPresetConfig = ({ model }: Pick<BertPreset, 'model'>, vocabulary: number): BertConfig =>
  bertConfig.parse({ architecture: 'bert', ...model, vocabulary });
