/**
 * GPT-3 (Brown et al. 2020): GPT-2 whose layers alternate between dense and locally banded attention (section
 * 2.1; Child et al. 2019). Layer 0 is dense. Knows no optimiser and no text.
 */
import { z } from 'zod';
import type { AttentionMask } from '../../nn/attention.ts';
import type { TextArchitecture } from './architecture.ts';
import { gpt2Block, gpt2Embed, gpt2Parameters, gpt2Sizes, HEADS_FIT, headsFit, tiedHead } from './gpt2.ts';
import { norm } from './layers.ts';

const sizes = gpt2Sizes.extend({
  architecture: z.literal('gpt3').default('gpt3'),
  /** Positions that a banded layer sees, itself among them. */
  window: z.number().int().min(1),
});
export const gpt3Config = sizes.refine(headsFit, HEADS_FIT);
export type Gpt3Config = z.infer<typeof sizes>;

/** Even layers see everything before them, odd ones a band. */
export function gpt3Mask(config: Gpt3Config, layer: number): AttentionMask {
  return layer % 2 === 0 ? { kind: 'causal' } : { kind: 'banded', window: config.window };
}

export const gpt3: TextArchitecture<Gpt3Config> = {
  name: 'gpt3',
  config: gpt3Config,
  parameters: gpt2Parameters,
  cache: ({ heads, width }) => ({ heads, dim: width / heads }),
  network: (config, parameters, call) => {
    let x = gpt2Embed(parameters, call);
    for (let layer = 0; layer < config.layers; layer++)
      x = gpt2Block(config, parameters, call, { layer, mask: gpt3Mask(config, layer), x });
    return norm(parameters, 'ln_f', x);
  },
  head: (_, parameters, hidden) => tiedHead(parameters, hidden),
};
