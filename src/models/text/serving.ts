/**
 * A text model made ready to be served: its matrices joined where they read the same input, its weights in the format
 * that was asked for, and the programs that go with them. Knows no files and no backend.
 */
import type { HostTensors } from '../../base/tensor.ts';
import { type WeightFormat, withWeights } from '../../nn/quantise.ts';
import type { TextSizes } from './architecture.ts';
import { architectureOf, type Decoding, decodingOf, type TextConfig } from './architectures.ts';
import { joinedSpecs, joinedWeights } from './joins.ts';

/** What generate/ needs of a model, without the backend that runs it. */
export interface Served extends Decoding {
  parameters: HostTensors;
}

/** @param weights as files have them */
export function servedText(
  config: TextConfig,
  weights: HostTensors,
  format: WeightFormat = 'float32',
): Served {
  const architecture = architectureOf(config);
  const joins = architecture.joins?.(config as TextSizes) ?? {};
  const specs = joinedSpecs(architecture.parameters(config as TextSizes), joins);
  const { prefill, step, chunk, ...sizes } = decodingOf(config, { joins });
  const { programs, parameters } = withWeights(
    { prefill, step, chunk },
    joinedWeights(weights, joins),
    specs,
    format,
  );
  return { ...sizes, ...programs, parameters };
}
