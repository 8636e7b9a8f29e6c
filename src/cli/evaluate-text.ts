/** Scores a model that writes, for `inkstone evaluate`: prepares the text, counts nats, and says what was measured. */
import { monotonic } from '../base/host.ts';
import { requireWindow } from '../data/text/batches.ts';
import type { PreparedText } from '../data/text/prepare.ts';
import { bootstrapRatio, countBytes, scoreText, type TextScore } from '../evaluate/index.ts';
import type { TextModel } from '../models/text/load.ts';
import type { WeightFormat } from '../nn/quantise.ts';
import type { Backend } from '../runtime/contract.ts';
import type { CommandContext } from './command.ts';
import type { CardFacts } from './evaluation-card.ts';

export interface TextEvaluation {
  nats_per_character: number;
  /** At 95 %: bootstrap over neighbouring predictions. */
  interval: [number, number];
  bits_per_character: number;
  bits_per_byte: number;
  perplexity_per_token: number;
  perplexity_interval: [number, number];
  characters: number;
  bytes: number;
  tokens: number;
  predictions: number;
  documents: number;
  split: string;
  validation: number;
  /** Tokens of a window, and from one window to the next. */
  context: number;
  stride: number;
  model: string;
  weights: WeightFormat;
  /** Where the weights are kept in another format: the score of the weights as they are, and what the format costs. */
  float32?: { nats_per_character: number; perplexity_per_token: number };
  perplexity_loss?: number;
  perplexity_loss_interval?: [number, number];
  data_fingerprint: string;
  seconds: number;
}

export interface TextEvaluationSettings {
  data: string;
  split: 'validation' | 'all';
  validation: number;
  stride?: number | undefined;
  weights: WeightFormat;
}

/** @throws InkstoneError `context_too_long`, `stride_invalid` */
export async function evaluateText(
  model: TextModel & { name: string },
  settings: TextEvaluationSettings,
  prepared: PreparedText,
  backend: Backend,
  context: CommandContext,
): Promise<{ result: TextEvaluation; facts: CardFacts }> {
  const all = settings.split === 'all';
  const { trainTokens, validationTokens, info, tokenizer } = prepared;
  const range = all
    ? { start: 0, length: trainTokens + validationTokens }
    : { start: trainTokens, length: validationTokens };
  requireWindow(range, 1, settings.split);
  const begun = monotonic();
  const scored = (format: WeightFormat): Promise<TextScore> =>
    scoreText({
      backend,
      model: model.config,
      weights: model.weights,
      format,
      tokens: prepared.tokens,
      range,
      ...(settings.stride === undefined ? {} : { stride: settings.stride }),
      signal: context.signal,
      progress: (part) => context.progress.show(`evaluating ${format} ${Math.round(part * 100)} %`),
    });
  const { nats, predictions, blocks } = await scored(settings.weights);
  const plain = settings.weights === 'float32' ? undefined : await scored('float32');
  const characters = all ? info.characters : prepared.validationCharacters;
  const bytes = await countBytes(prepared.tokens, tokenizer, range);
  // Character tokens: the mean over the predictions. Other tokens are weighed by the characters they stand for.
  const each = nats / (tokenizer.kind === 'characters' ? predictions : characters);
  const perToken = bootstrapRatio(blocks.nats, blocks.counts);
  const scale = each / perToken.value;
  const result: TextEvaluation = {
    nats_per_character: each,
    interval: [perToken.lower * scale, perToken.upper * scale],
    bits_per_character: each / Math.LN2,
    bits_per_byte: nats / Math.LN2 / bytes,
    perplexity_per_token: Math.exp(nats / predictions),
    perplexity_interval: [Math.exp(perToken.lower), Math.exp(perToken.upper)],
    characters,
    bytes,
    tokens: range.length,
    predictions,
    documents: info.documents,
    split: settings.split,
    validation: settings.validation,
    context: model.config.context,
    stride: settings.stride ?? model.config.context,
    model: model.name,
    weights: settings.weights,
    ...(plain === undefined ? {} : besideFloats(blocks, plain, each / perToken.value)),
    data_fingerprint: info.fingerprint,
    seconds: Number(((monotonic() - begun) / 1000).toFixed(3)),
  };
  return { result, facts: factsOf(result, settings) };
}

/** What a format costs: prediction by prediction against the same model in float32. */
function besideFloats(
  blocks: TextScore['blocks'],
  plain: TextScore,
  scale: number,
): Pick<TextEvaluation, 'float32' | 'perplexity_loss' | 'perplexity_loss_interval'> {
  const perToken = plain.nats / plain.predictions;
  const apart = bootstrapRatio(
    blocks.nats.map((nats, i) => nats - (plain.blocks.nats[i] as number)),
    blocks.counts,
  );
  return {
    float32: { nats_per_character: perToken * scale, perplexity_per_token: Math.exp(perToken) },
    perplexity_loss: Math.expm1(apart.value),
    perplexity_loss_interval: [Math.expm1(apart.lower), Math.expm1(apart.upper)],
  };
}

function factsOf(result: TextEvaluation, { data }: TextEvaluationSettings): CardFacts {
  const { context, stride, split, validation, predictions } = result;
  const part = Number((validation * 100).toFixed(2));
  const interval = 'bootstrap over neighbouring predictions';
  return {
    data: {
      path: data,
      fingerprint: result.data_fingerprint,
      characters: result.characters,
      documents: result.documents,
      split: split === 'all' ? 'all of it' : `the last ${part} % of the characters`,
    },
    protocol: [
      stride === context
        ? `Windows of ${context} tokens that do not overlap; every token but the first is predicted once.`
        : `Windows of ${context} tokens, ${stride} apart; every token but the first is predicted once, from ${context - stride} tokens before it or more (but for the first window's).`,
      'Nothing is sampled; the rules are in docs/protocol-text.md.',
      ...(result.weights === 'float32' ? [] : [`The weights were kept as ${result.weights}.`]),
    ],
    results: [
      {
        name: 'Loss',
        value: result.nats_per_character,
        unit: 'nats per character',
        ...{ lower: result.interval[0], upper: result.interval[1], interval },
        count: result.characters,
      },
      { name: 'Loss', value: result.bits_per_byte, unit: 'bits per byte', count: result.bytes },
      {
        name: 'Perplexity',
        value: result.perplexity_per_token,
        unit: 'per token',
        ...{ lower: result.perplexity_interval[0], upper: result.perplexity_interval[1], interval },
        count: predictions,
      },
      ...(result.perplexity_loss === undefined
        ? []
        : [
            {
              name: `Perplexity that ${result.weights} costs`,
              value: 100 * result.perplexity_loss,
              unit: '% of that with float32 weights',
              lower: 100 * (result.perplexity_loss_interval?.[0] ?? 0),
              upper: 100 * (result.perplexity_loss_interval?.[1] ?? 0),
              interval,
              count: predictions,
            },
          ]),
    ],
    limits: [
      'The figures hold for text like this and say nothing of truth, safety or instructions.',
      'Perplexities of models with other tokens cannot be compared; nats per character and bits per byte can.',
    ],
  };
}
