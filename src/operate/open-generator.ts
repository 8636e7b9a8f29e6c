/** A model that writes, opened in this process, whoever's engine it needs. Knows no requests. */
import { InkstoneError } from '../base/errors.ts';
import type { WeightFormat } from '../nn/quantise.ts';
import { createBackend } from '../runtime/index.ts';
import { describeModel, isOpen } from './model-info.ts';
import { openCheckpoint } from './open-checkpoint.ts';
import { TextGenerator } from './text-generator.ts';
import { threadsFor } from './threads.ts';

export interface OpenGeneratorOptions {
  device: 'cpu' | 'webgpu';
  threads?: number;
  /** Sequences at a time. */
  maxBatch: number;
  weights: WeightFormat;
  /** Told when an engine has to be fetched. */
  note(line: string): void;
}

/** @throws InkstoneError `model_missing`, `model_writes_nothing`, `setting_unsupported`, `package_unavailable` */
export async function openGenerator(
  place: string,
  { device, threads, maxBatch, weights, note }: OpenGeneratorOptions,
): Promise<Pick<TextGenerator, 'generate' | 'countTokens' | 'close'>> {
  const info = await describeModel(place);
  if (isOpen(info)) {
    const refused =
      device !== 'cpu' ? `--device ${device}` : weights !== 'float32' ? `--weights ${weights}` : '';
    if (refused !== '')
      throw new InkstoneError('setting_unsupported', `${info.engine} takes no ${refused}`, {
        kind: 'unsupported',
        hint: 'leave it out: such a model says itself how its weights are kept, and runs on the CPU',
      });
    const opened = await openCheckpoint(info, {
      threads: threads ?? threadsFor(info.parameters),
      maxBatch,
      packages: { note },
    });
    const { generator } = opened;
    if (generator !== undefined) return generator;
    await opened.close();
    throw new InkstoneError('model_writes_nothing', `${place} gives embeddings and writes no text`, {
      kind: 'unsupported',
      hint: 'serve it and send it to /v1/embeddings',
    });
  }
  const backend = await createBackend(device, threads === undefined ? {} : { threads });
  try {
    const generator = await TextGenerator.open(place, backend, { maxBatch, weights });
    return {
      generate: (request, signal) => generator.generate(request, signal),
      countTokens: (text) => generator.countTokens(text),
      close: async () => {
        await generator.close();
        await backend.close();
      },
    };
  } catch (thrown) {
    await backend.close();
    throw thrown;
  }
}
