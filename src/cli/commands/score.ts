/** `inkstone score`: texts against references, by the metrics of the field, as their reference implementations count. */
import { InkstoneError } from '../../base/errors.ts';
import { readText } from '../../base/host.ts';
import { nearest } from '../../base/nearest.ts';
import { z } from '../../base/schema.ts';
import {
  answerF1,
  BLEU_SMOOTHINGS,
  BLEU_TOKENIZERS,
  bleu,
  characterErrorRate,
  chrf,
  distinct,
  exactMatch,
  meanRouge,
  ROUGE_KINDS,
  wordErrors,
} from '../../evaluate/metrics/index.ts';
import { command } from '../command.ts';

const METRICS = [
  'bleu',
  'chrf',
  'chrf++',
  'rouge',
  'wer',
  'mer',
  'wil',
  'cer',
  'exact-match',
  'f1',
  'distinct',
] as const;
type Metric = (typeof METRICS)[number];

const own = { environment: false } as const;

const schema = z.object({
  predictions: z.string().min(1).describe('a text file, one segment a line').meta(own),
  references: z
    .array(z.string().min(1))
    .min(1)
    .describe('a text file with as many lines; repeat it for further references')
    .meta(own),
  metric: z
    .array(z.string())
    .default(['bleu,chrf,rouge'])
    .describe(`${METRICS.join(', ')}; several with commas between them`)
    .meta(own),
  tokenize: z.enum(BLEU_TOKENIZERS).default('13a').describe('the tokenizer of BLEU').meta(own),
  smooth: z.enum(BLEU_SMOOTHINGS).default('exp').describe('how BLEU treats orders without a match').meta(own),
  smoothValue: z
    .number()
    .positive()
    .optional()
    .describe('for floor (default 0.1) and add-k (default 1)')
    .meta(own),
  lowercase: z.boolean().default(false).describe('BLEU and chrF over lower-case text').meta(own),
  stem: z.boolean().default(false).describe('ROUGE over Porter stems').meta(own),
});
type Settings = z.output<typeof schema>;

type Scores = Record<string, number | Record<string, number>>;

/** @throws InkstoneError `metric_unknown` */
function metricsOf(given: readonly string[]): Metric[] {
  const names = given.flatMap((list) => list.split(',')).map((name) => name.trim());
  for (const name of names) {
    if ((METRICS as readonly string[]).includes(name)) continue;
    const close = nearest(name, METRICS);
    throw new InkstoneError('metric_unknown', `there is no metric "${name}"`, {
      kind: 'usage',
      hint: close === undefined ? `the metrics are ${METRICS.join(', ')}` : `did you mean ${close}?`,
      details: { metrics: METRICS },
    });
  }
  return [...new Set(names)] as Metric[];
}

/** @throws InkstoneError `file_missing`, `segments_missing` */
async function linesOf(file: string): Promise<string[]> {
  const lines = (await readText(file)).split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  if (lines.length > 0) return lines;
  throw new InkstoneError('segments_missing', `${file} is empty`, {
    kind: 'data',
    hint: 'give one segment a line',
  });
}

/** @throws InkstoneError `segments_differ` */
async function read(settings: Settings): Promise<{ predictions: string[]; references: string[][] }> {
  const predictions = await linesOf(settings.predictions);
  const streams: string[][] = [];
  for (const file of settings.references) {
    const lines = await linesOf(file);
    if (lines.length !== predictions.length)
      throw new InkstoneError(
        'segments_differ',
        `${file} has ${lines.length} lines, ${settings.predictions} has ${predictions.length}`,
        { kind: 'data', hint: 'line n of a reference belongs to line n of the predictions' },
      );
    streams.push(lines);
  }
  return { predictions, references: predictions.map((_, i) => streams.map((stream) => stream[i] as string)) };
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

function score(settings: Settings, metric: Metric, predictions: string[], references: string[][]): Scores {
  const first = references.map((all) => all[0] as string);
  const { lowercase } = settings;
  switch (metric) {
    case 'bleu':
      return {
        bleu: bleu(predictions, references, {
          tokenizer: settings.tokenize,
          smoothing: settings.smooth,
          lowercase,
          ...(settings.smoothValue === undefined ? {} : { smoothingValue: settings.smoothValue }),
        }).score,
      };
    case 'chrf':
      return { chrf: chrf(predictions, references, { lowercase }) };
    case 'chrf++':
      return { 'chrf++': chrf(predictions, references, { lowercase, wordOrder: 2 }) };
    case 'rouge': {
      const scores = meanRouge(predictions, references, settings.stem);
      return Object.fromEntries(ROUGE_KINDS.map((kind) => [kind, { ...scores[kind] }]));
    }
    case 'wer':
    case 'mer':
    case 'wil':
      return { [metric]: wordErrors(predictions, first)[metric] };
    case 'cer':
      return { cer: characterErrorRate(predictions, first) };
    case 'exact-match':
      return { exact_match: mean(predictions.map((one, i) => exactMatch(one, references[i] as string[]))) };
    case 'f1':
      return { f1: mean(predictions.map((one, i) => answerF1(one, references[i] as string[]))) };
    case 'distinct':
      return { distinct1: distinct(predictions, 1), distinct2: distinct(predictions, 2) };
  }
}

export const scoreCommand = command({
  name: 'score',
  summary: 'score texts against references: BLEU, chrF, ROUGE, error rates',
  description:
    'One segment a line. BLEU and chrF go from 0 to 100, as sacreBLEU’s; ROUGE from 0 to 1, as rouge_score’s, mean over the lines; ' +
    'WER, MER, WIL and CER are those of all lines together, as jiwer’s, against the first reference.',
  schema,
  examples: [
    'score --predictions out.txt --references gold.txt',
    'score --predictions out.txt --references a.txt --references b.txt --metric bleu,chrf --tokenize zh --json',
  ],
  async run(settings) {
    const metrics = metricsOf(settings.metric);
    const { predictions, references } = await read(settings);
    return Object.assign(
      {},
      ...metrics.map((metric) => score(settings, metric, predictions, references)),
    ) as Scores;
  },
  show: (scores) =>
    Object.entries(scores)
      .map(([name, value]) =>
        typeof value === 'number'
          ? `${name.padEnd(12)}${value.toFixed(4)}`
          : `${name.padEnd(12)}${Object.entries(value)
              .map(([part, v]) => `${part} ${v.toFixed(4)}`)
              .join('  ')}`,
      )
      .join('\n'),
});
