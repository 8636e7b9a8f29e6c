/** `inkstone train classify`: a text model goes on learning as a classifier of labelled texts, and is scored. */
import path from 'node:path';
import { bar, count, duration } from '../../../base/progress.ts';
import { z } from '../../../base/schema.ts';
import { codeVersion } from '../../../base/version.ts';
import { loadAnyTextModel } from '../../../models/text/load.ts';
import { findModel } from '../../../operate/registry.ts';
import { TextClassifier } from '../../../operate/text-classifier.ts';
import { createBackend } from '../../../runtime/index.ts';
import { trainClassifier } from '../../../train/classify-run.ts';
import { RunFolder } from '../../../train/run-folder.ts';
import { type ClassifierScore, classifierScoreLines, scoreClassifier } from '../../classifier-score.ts';
import { command } from '../../command.ts';
import { commandLine } from '../../command-line.ts';
import { tunedFolder } from '../../free-folder.ts';
import { defined } from '../../train-text-plan.ts';
import { traced } from '../../training-span.ts';

const own = { environment: false } as const;
const whole = z.number().int();

const schema = z.object({
  base: z
    .string()
    .min(1)
    .describe(
      'the model to start from: a run folder, a model folder or a registered name; a BERT or one that writes',
    )
    .meta(own),
  data: z.string().min(1).describe('a table with texts and labels: .jsonl, .csv or .tsv').meta(own),
  validation: z
    .string()
    .optional()
    .describe('another table to judge by; default: a tenth of the rows, drawn by the seed')
    .meta(own),
  textField: z.string().min(1).default('text').describe('the field with the text').meta(own),
  pairField: z
    .string()
    .min(1)
    .optional()
    .describe('the field with a second text, where pairs are to be classified')
    .meta(own),
  labelField: z.string().min(1).default('label').describe('the field with the class').meta(own),
  out: z
    .string()
    .optional()
    .describe('the run folder; default runs-out/classify-N with the next free number')
    .meta(own),
  epochs: z.number().gt(0).optional().describe('passes over the data; default 3').meta(own),
  steps: whole.min(1).optional().describe('optimiser steps, instead of --epochs').meta(own),
  batch: whole.min(1).optional().describe('rows a step; default 16').meta(own),
  context: whole.min(4).optional().describe('tokens of a row at most; default the model’s own').meta(own),
  learningRate: z.number().gt(0).optional().describe('default 3e-4').meta(own),
  dropout: z.number().min(0).lt(1).optional().describe('default 0.1').meta(own),
  fromScratch: z
    .boolean()
    .default(false)
    .describe('the same network from random weights, to see what the base is worth')
    .meta(own),
  seed: whole
    .min(0)
    .default(1)
    .describe('of the kept rows, the new head and the order of the data')
    .meta(own),
  threads: whole.min(1).max(1024).optional().describe('compute threads; default: one per core'),
  resume: z.boolean().default(false).describe('go on with the run in --out').meta(own),
  force: z.boolean().default(false).describe('replace the run in --out').meta(own),
});

interface TrainClassifyResult extends Partial<ClassifierScore> {
  state: string;
  steps: number;
  seconds: number;
  val_loss: number;
  best_val_loss: number;
  unit: string;
  parameters: number;
  labels: string[];
  rows: number;
  /** False where there were too few rows to keep some apart: the score is then that of what was learned. */
  kept_apart: boolean;
  out: string;
}

export const trainClassifyCommand = command({
  name: 'train classify',
  summary: 'make a classifier of texts, or of pairs of texts, from a text model',
  description:
    'Each row of the table is a text and its class ({"text": "…", "label": "…"}); with --pair-field two texts and theirs. ' +
    'Any text model can be the base. Accuracy and F1 are of the best checkpoint on rows that were not learned from.',
  schema,
  examples: [
    'train classify --base runs-out/bert-1 --data reviews.csv',
    'train classify --base starter --data pairs.jsonl --text-field question --pair-field answer --label-field fits',
  ],
  async run(settings, { progress, signal, json, span }): Promise<TrainClassifyResult> {
    const { base, data } = settings;
    const { folder } = await findModel(base);
    const out = await tunedFolder(settings.out, 'classify', folder);
    const { config, tokenizer, weights } = await loadAnyTextModel(folder);
    const backend = await createBackend('cpu', defined({ threads: settings.threads }));
    try {
      if (!json) progress.note(`a classifier from ${base} in ${out}`);
      const result = await trainClassifier({
        base: { config, tokenizer, ...(settings.fromScratch ? {} : { weights }) },
        ...{ data, out, backend, signal, resume: settings.resume, force: settings.force },
        fields: {
          text: settings.textField,
          label: settings.labelField,
          ...defined({ pair: settings.pairField }),
        },
        ...defined({ validation: settings.validation, epochs: settings.epochs }),
        training: defined({
          seed: settings.seed,
          steps: settings.steps,
          batch: settings.batch,
          context: settings.context,
          learningRate: settings.learningRate,
          dropout: settings.dropout,
        }),
        report: traced(span, ({ step, steps, loss, remaining }) =>
          progress.show(
            `${bar(step / steps)} step ${step}/${steps}  loss ${loss.toFixed(3)}  ${duration(remaining)} left`,
          ),
        ),
        provenance: {
          version: await codeVersion(),
          command: commandLine(),
          data: path.resolve(data),
          base: path.resolve(folder),
        },
      });
      const facts: TrainClassifyResult = {
        ...{ state: result.state, steps: result.steps, seconds: Number(result.seconds.toFixed(3)) },
        ...{ val_loss: result.validationLoss, best_val_loss: result.bestValidationLoss, unit: result.unit },
        ...{ parameters: result.parameters, labels: result.labels, rows: result.rows },
        kept_apart: result.kept,
        out,
      };
      if (result.state !== 'succeeded') return facts;
      const classifier = await TextClassifier.open(out, backend);
      const answers = await classifier.classify(result.judged, signal);
      await classifier.close();
      const scored = { ...facts, ...scoreClassifier(classifier, result.judged, answers) };
      await new RunFolder(out).writeJson('score.json', scored);
      return scored;
    } finally {
      await backend.close();
    }
  },
  show: (result) =>
    [
      `${result.state === 'succeeded' ? 'done' : 'stopped'}: ${result.steps} steps in ${duration(result.seconds)}, ${count(result.parameters)} parameters, ${result.labels.length} classes`,
      ...(result.accuracy === undefined ? [] : classifierScoreLines(result as ClassifierScore)),
      ...(result.kept_apart
        ? []
        : ['too few rows to keep some apart: the score is of rows that were learned from']),
      `the classifier is in ${result.out}; try: inkstone classify ${result.out} --text "…"`,
    ].join('\n'),
});
