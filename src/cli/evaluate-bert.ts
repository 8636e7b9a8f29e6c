/** Scores a BERT for `inkstone evaluate`: masked tokens and next sentence on the passages of books. */
import { InkstoneError } from '../base/errors.ts';
import { monotonic } from '../base/host.ts';
import { pretrainingPairs, pretrainingShape } from '../data/text/pretraining.ts';
import { readBooks, SentenceCorpus } from '../data/text/sentences.ts';
import { WordPieceTokenizer } from '../data/tokenizer/wordpiece.ts';
import { PAIR_KINDS, proportion, scoreMasked } from '../evaluate/index.ts';
import { bootstrapRatio } from '../evaluate/statistics.ts';
import type { BertConfig } from '../models/text/bert.ts';
import type { TextModel } from '../models/text/load.ts';
import type { Backend } from '../runtime/contract.ts';
import type { CommandContext } from './command.ts';
import type { CardFacts } from './evaluation-card.ts';

export interface BertEvaluation {
  nats_per_masked_token: number;
  interval: [number, number];
  perplexity_per_masked_token: number;
  masked_tokens: number;
  /** Of followers against negatives; absent where a model or the data have none. */
  next_sentence?: Record<
    'other_book' | 'same_book',
    { accuracy: number; lower: number; upper: number; count: number }
  >;
  documents: number;
  characters: number;
  model: string;
  data_fingerprint: string;
  seconds: number;
}

const BATCH = 16;
const LONGEST = 128;
/** Fixed, so that two models see the same pairs. */
const SEED = 7;

export async function evaluateBert(
  model: TextModel<BertConfig> & { name: string },
  settings: { data: string; field?: string | undefined; pairs: number },
  backend: Backend,
  context: CommandContext,
): Promise<{ result: BertEvaluation; facts: CardFacts }> {
  const { tokenizer, config } = model;
  if (!(tokenizer instanceof WordPieceTokenizer))
    throw new InkstoneError('tokenizer_unsupported', 'a BERT is scored with its WordPiece tokenizer', {
      kind: 'unsupported',
      hint: 'put the tokenizer.json that it was trained with into its folder',
    });
  context.progress.show('reading the books');
  const { books, info } = await readBooks(
    settings.data,
    settings.field === undefined ? {} : { field: settings.field },
  );
  if (info.characters === 0)
    throw new InkstoneError('data_empty', `${settings.data} has no text in it`, {
      kind: 'data',
      hint: 'give a file with text',
    });
  const corpus = new SentenceCorpus(books, (sentence) => tokenizer.encode(sentence));
  const shape = pretrainingShape(BATCH, Math.min(LONGEST, config.context));
  const { pairs, negatives } = pairsOf(corpus, tokenizer, config);
  const judged = Math.ceil(settings.pairs / BATCH) * BATCH;
  const begun = monotonic();
  const { masked, predictions, right, blocks } = await scoreMasked({
    ...{ backend, model: config, weights: model.weights, pairs, shape, judged, seed: SEED },
    kinds: negatives ? PAIR_KINDS : ['follows'],
    signal: context.signal,
    progress: (part) => context.progress.show(`evaluating ${Math.round(part * 100)} %`),
  });
  const interval = bootstrapRatio(blocks.nats, blocks.counts);
  const answers = (kind: 'other book' | 'same book') => {
    const { value, lower, upper, count } = proportion(right.follows + right[kind], 2 * judged);
    return { accuracy: value, lower, upper, count };
  };
  const next = negatives ? { other_book: answers('other book'), same_book: answers('same book') } : undefined;
  const result: BertEvaluation = {
    nats_per_masked_token: masked,
    interval: [interval.lower, interval.upper],
    perplexity_per_masked_token: Math.exp(masked),
    masked_tokens: predictions,
    ...(next === undefined ? {} : { next_sentence: next }),
    documents: info.documents,
    characters: info.characters,
    model: model.name,
    data_fingerprint: info.fingerprint,
    seconds: Number(((monotonic() - begun) / 1000).toFixed(3)),
  };
  return { result, facts: factsOf(result, { ...settings, judged, time: shape.time }) };
}

/** Where the data or the model have no negatives, masked tokens alone are judged. */
function pairsOf(corpus: SentenceCorpus, tokenizer: WordPieceTokenizer, config: BertConfig) {
  if (config.next) {
    try {
      return { pairs: pretrainingPairs(corpus, tokenizer), negatives: true };
    } catch (thrown) {
      if (!InkstoneError.is(thrown) || thrown.code !== 'data_too_small') throw thrown;
    }
  }
  return { pairs: pretrainingPairs(corpus, tokenizer, false), negatives: false };
}

function factsOf(
  result: BertEvaluation,
  { data, judged, time }: { data: string; judged: number; time: number },
): CardFacts {
  const { next_sentence: next, interval } = result;
  const asked = (name: string, one: { accuracy: number; lower: number; upper: number; count: number }) => ({
    name: `Next sentence, negatives of ${name}`,
    value: 100 * one.accuracy,
    unit: '%',
    lower: 100 * one.lower,
    upper: 100 * one.upper,
    interval: 'Wilson',
    count: one.count,
  });
  return {
    data: {
      path: data,
      fingerprint: result.data_fingerprint,
      characters: result.characters,
      documents: result.documents,
      split: 'all of it',
    },
    protocol: [
      `Pairs of passages in windows of ${time} tokens, ${judged} of each kind, drawn with seed ${SEED}.`,
      '15 % of the tokens are asked for: 80 % of them masked, 10 % replaced, 10 % kept.',
      ...(next === undefined
        ? [
            'The next-sentence question is not asked: the model has no such head, or the data are too few books.',
          ]
        : ['Next sentence: accuracy over pairs that follow each other and as many that do not.']),
      'The rules are in docs/protocol-text.md.',
    ],
    results: [
      {
        name: 'Loss of masked tokens',
        value: result.nats_per_masked_token,
        unit: 'nats per masked token',
        ...{ lower: interval[0], upper: interval[1], interval: 'bootstrap over batches' },
        count: result.masked_tokens,
      },
      ...(next === undefined
        ? []
        : [asked('other books', next.other_book), asked('the same book', next.same_book)]),
    ],
    limits: [
      'The figures hold for text like this; passages were drawn, so a rare topic may be missing.',
      'Losses of models with other vocabularies cannot be compared.',
    ],
  };
}
