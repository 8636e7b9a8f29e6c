/**
 * The classifier that says whether a made picture is of the class that was asked for: three strided convolutions and one
 * layer, without pooling: another architecture than the feature network's. Knows no data.
 */
import { type ParameterSpec, parameterTypes } from '../../nn/parameters.ts';
import type { LossProgram } from '../../nn/train-step.ts';
import { type Program, reshape, type Size, type Tensor, trace } from '../../program/index.ts';
import {
  classifyingEvaluate,
  classifyingLoss,
  labelledTypes,
  type PictureClassifier,
} from './classifying.ts';
import { convolution, convolutionSpecs, dense, denseSpecs, GAIN, rectify } from './layers.ts';

export interface JudgeConfig {
  channels: number;
  size: number;
  classes: number;
}

const WIDTHS: readonly number[] = [24, 48, 64];

export function judgeParameters({ channels, size, classes }: JudgeConfig): ParameterSpec[] {
  const side = WIDTHS.reduce((places) => Math.ceil(places / 2), size);
  return [
    ...WIDTHS.flatMap((width, i) => convolutionSpecs(`conv${i}`, WIDTHS[i - 1] ?? channels, width, 3)),
    ...denseSpecs('classes', (WIDTHS.at(-1) as number) * side * side, classes),
  ];
}

/** `[batch, channels, size, size]`, −1 … 1 → `[batch, classes]` */
function judgeLogits(p: Readonly<Record<string, Tensor>>, images: Tensor): Tensor {
  let h = images;
  WIDTHS.forEach((_, i) => {
    h = rectify(convolution(p, `conv${i}`, h, { stride: 2, gain: GAIN }));
  });
  const flat = (h.shape.slice(1) as readonly number[]).reduce((a, b) => a * b, 1);
  return dense(p, 'classes', reshape(h, [h.shape[0] as Size, flat]));
}

const classifier = (config: JudgeConfig): PictureClassifier => ({
  ...{ name: 'judge', ...config, specs: judgeParameters(config), logits: judgeLogits },
});

export const judgeLoss = (config: JudgeConfig, batch: number): LossProgram =>
  classifyingLoss(classifier(config), batch);

export const judgeEvaluate = (config: JudgeConfig, batch: number): Program =>
  classifyingEvaluate(classifier(config), batch);

/** `logits`; the batch is open. */
export function judgeProgram(config: JudgeConfig): Program {
  const parameters = parameterTypes(judgeParameters(config));
  const { images } = labelledTypes(config, 'batch');
  return trace('judge', { ...parameters, images }, (x) => ({
    logits: judgeLogits(x, x.images as Tensor),
  }));
}
