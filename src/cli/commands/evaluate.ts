/** `inkstone evaluate`: a model's score on a text, by the protocol that every training uses, and a card of it. */
import path from 'node:path';
import { InkstoneError } from '../../base/errors.ts';
import { exists, makeTemporaryFolder, readText, removeFile } from '../../base/host.ts';
import { duration } from '../../base/progress.ts';
import { z } from '../../base/schema.ts';
import { prepareText } from '../../data/text/prepare.ts';
import { familyOf } from '../../models/image/load.ts';
import { isBert } from '../../models/text/any.ts';
import type { BertConfig } from '../../models/text/bert.ts';
import { loadAnyTextModel, type TextModel } from '../../models/text/load.ts';
import { WEIGHT_FORMATS } from '../../nn/quantise.ts';
import { findModel } from '../../operate/registry.ts';
import type { Backend } from '../../runtime/contract.ts';
import { createBackend } from '../../runtime/index.ts';
import { type CommandContext, command } from '../command.ts';
import { type BertEvaluation, evaluateBert } from '../evaluate-bert.ts';
import { evaluateImages, type ImageEvaluation, imageScoreLines } from '../evaluate-image.ts';
import { evaluateText, type TextEvaluation } from '../evaluate-text.ts';
import { writeEvaluationCard } from '../evaluation-card.ts';

const own = { environment: false } as const;
const whole = z.number().int();

const schema = z.object({
  model: z.string().min(1).describe('a run folder, a model folder or a registered name'),
  data: z
    .string()
    .min(1)
    .describe(
      'a text file, a folder, .jsonl, .gz or .tar.gz; for an image model pictures, as train image takes them',
    ),
  split: z
    .enum(['validation', 'all'])
    .default('validation')
    .describe('the last part of the characters, or all of them (a BERT always takes all)')
    .meta(own),
  validation: z
    .number()
    .gt(0)
    .lt(1)
    .optional()
    .describe("size of the validation part; default the run's own, else 0.1")
    .meta(own),
  stride: whole
    .min(1)
    .optional()
    .describe("tokens from one window to the next; default the model's context: windows do not overlap")
    .meta(own),
  pairs: whole
    .min(16)
    .max(100_000)
    .default(256)
    .describe('BERT: pairs of passages of each kind that are judged')
    .meta(own),
  field: z.string().min(1).optional().describe('JSON lines: the field with the text').meta(own),
  features: z
    .string()
    .optional()
    .describe(
      'pictures: the feature network, a run of `train features`, a LeNet as safetensors, any network as ONNX (Inception), or pixels; default: what stands beside the data',
    )
    .meta(own),
  samples: whole.min(50).max(50_000).default(10_000).describe('pictures that are made and scored').meta(own),
  neighbours: whole
    .min(0)
    .max(64)
    .optional()
    .describe(
      'pictures: samples shown beside the nearest pictures of the data; default 16 where the data have fewer than 10,000, else 0',
    )
    .meta(own),
  denoise: whole
    .min(1)
    .optional()
    .describe('pictures by diffusion: denoising steps of each sample; default 50')
    .meta(own),
  guidance: z
    .number()
    .min(0)
    .optional()
    .describe('pictures by diffusion: how strongly the label counts; default 1.5, 1 takes half the time')
    .meta(own),
  weights: z
    .enum(WEIGHT_FORMATS)
    .default('float32')
    .describe('how the weights are kept; other than float32, its score is shown beside that of float32')
    .meta(own),
  out: z
    .string()
    .min(1)
    .optional()
    .describe('where card.md and card.json go; default runs-out/evaluate-MODEL-N')
    .meta(own),
  device: z.enum(['cpu', 'webgpu']).default('cpu').describe('where the arithmetic runs'),
  threads: whole.min(1).max(1024).optional().describe('compute threads; default: one per core'),
});
type Settings = z.output<typeof schema>;

type EvaluateResult =
  | ((TextEvaluation | BertEvaluation) & { card: string; card_json: string })
  | ImageEvaluation;

/** The part of the characters that a run kept for validation. */
async function ownValidation(folder: string): Promise<number | undefined> {
  const file = path.join(folder, 'config.json');
  if (!(await exists(file))) return undefined;
  const config = JSON.parse(await readText(file)) as { data?: { validation?: unknown } };
  return typeof config.data?.validation === 'number' ? config.data.validation : undefined;
}

function explain(thrown: unknown, model: string): unknown {
  if (!InkstoneError.is(thrown) || thrown.code !== 'character_unknown') return thrown;
  return new InkstoneError(
    'vocabulary_differs',
    `the data do not fit the vocabulary of ${model}: ${thrown.message}`,
    {
      kind: 'conflict',
      hint: 'score it on text with the characters it was trained on, or take a model with byte-level tokens',
      cause: thrown,
    },
  );
}

async function scoreWriter(
  settings: Settings,
  model: TextModel & { name: string },
  backend: Backend,
  context: CommandContext,
) {
  const validation = settings.validation ?? (await ownValidation(model.folder)) ?? 0.1;
  const work = await makeTemporaryFolder('inkstone-evaluate');
  try {
    const prepared = await prepareText(settings.data, {
      folder: work,
      tokenizer: { name: 'given', tokenizer: model.tokenizer },
      validation,
      ...(settings.field === undefined ? {} : { field: settings.field }),
      progress: (phase, part) =>
        context.progress.show(`preparing data: ${phase}${part > 0 ? ` ${Math.round(part * 100)} %` : ''}`),
    });
    try {
      return await evaluateText(model, { ...settings, validation }, prepared, backend, context);
    } finally {
      await prepared.tokens.close();
    }
  } catch (thrown) {
    throw explain(thrown, model.name);
  } finally {
    await removeFile(work);
  }
}

async function run(settings: Settings, context: CommandContext): Promise<EvaluateResult> {
  const { id, folder } = await findModel(settings.model);
  if ((await familyOf(folder)) === 'image') return evaluateImages({ id, folder }, settings, context);
  const model = { ...(await loadAnyTextModel(folder)), name: id };
  const backend = await createBackend(
    settings.device,
    settings.threads === undefined ? {} : { threads: settings.threads },
  );
  try {
    const { result, facts } = isBert(model.config)
      ? await evaluateBert(model as TextModel<BertConfig> & { name: string }, settings, backend, context)
      : await scoreWriter(settings, model as TextModel & { name: string }, backend, context);
    return { ...result, ...(await writeEvaluationCard(model, facts, settings.out)) };
  } finally {
    await backend.close();
  }
}

const between = ([lower, upper]: readonly [number, number], digits: number): string =>
  `95 % from ${lower.toFixed(digits)} to ${upper.toFixed(digits)}`;

const loss = ([lower, upper]: readonly [number, number] = [0, 0]): [number, number] => [
  100 * lower,
  100 * upper,
];

function lines(result: EvaluateResult): string[] {
  if ('samples' in result) return imageScoreLines(result);
  if ('nats_per_character' in result)
    return [
      `${result.nats_per_character.toFixed(4)} nats per character (${between(result.interval, 4)})`,
      `${result.bits_per_character.toFixed(4)} bits per character, ${result.bits_per_byte.toFixed(4)} bits per byte`,
      `perplexity ${result.perplexity_per_token.toFixed(2)} per token (${between(result.perplexity_interval, 2)})`,
      ...(result.float32 === undefined
        ? []
        : [
            `with float32 weights ${result.float32.nats_per_character.toFixed(4)} nats, perplexity ${result.float32.perplexity_per_token.toFixed(2)}: ` +
              `${result.weights} costs ${(100 * (result.perplexity_loss ?? 0)).toFixed(2)} % (${between(loss(result.perplexity_loss_interval), 2)})`,
          ]),
      `${result.characters} characters, ${result.tokens} tokens, ${duration(result.seconds)}`,
    ];
  const next = Object.entries(result.next_sentence ?? {}).map(
    ([kind, { accuracy, lower, upper }]) =>
      `next sentence, negatives of ${kind.replace('_', ' ')}: ${(100 * accuracy).toFixed(1)} % (${between([100 * lower, 100 * upper], 1)})`,
  );
  return [
    `${result.nats_per_masked_token.toFixed(4)} nats per masked token (${between(result.interval, 4)})`,
    ...next,
    `${result.masked_tokens} masked tokens, ${result.documents} books, ${duration(result.seconds)}`,
  ];
}

export const evaluateCommand = command({
  name: 'evaluate',
  summary: 'score a model on a text and write a model card',
  description:
    'Every position of the split is predicted once, in windows of the model’s context; nothing is sampled. With --stride the windows overlap. ' +
    'A BERT is asked for masked tokens and whether the next passage follows. The card (Markdown and JSON) names data, weights, code and rules. ' +
    'docs/protocol-text.md has the rules.',
  schema,
  positionals: ['model'],
  examples: [
    'evaluate runs-out/first --data my.txt',
    'evaluate starter --data book.txt --split all --stride 128 --json',
  ],
  run,
  show: (result) => [...lines(result), `card: ${result.card}`].join('\n'),
});
