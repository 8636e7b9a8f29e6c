/** `inkstone classify`: asks a classifier for the class of texts, or scores it on a labelled table. */
import { InkstoneError } from '../../base/errors.ts';
import { readInput } from '../../base/host.ts';
import { z } from '../../base/schema.ts';
import { labelledOf, type TextPair, textsOf } from '../../data/text/labelled.ts';
import { readTable } from '../../data/text/table.ts';
import { findModel } from '../../operate/registry.ts';
import { TextClassifier } from '../../operate/text-classifier.ts';
import { createBackend } from '../../runtime/index.ts';
import { type ClassifierScore, classifierScoreLines, scoreClassifier } from '../classifier-score.ts';
import { command } from '../command.ts';
import { defined } from '../train-text-plan.ts';

const own = { environment: false } as const;

const schema = z.object({
  model: z
    .string()
    .min(1)
    .describe(
      'a classifier: a run of train classify, a Hugging Face sequence classifier or a registered name',
    ),
  text: z
    .array(z.string())
    .optional()
    .describe('a text; may be given several times; - reads standard input')
    .meta(own),
  pair: z
    .array(z.string())
    .optional()
    .describe('the second text of each, for classifiers of pairs')
    .meta(own),
  data: z
    .string()
    .optional()
    .describe('a table (.jsonl, .csv, .tsv) instead: with labels in it, the classifier is scored')
    .meta(own),
  textField: z.string().min(1).default('text').describe('the field with the text').meta(own),
  pairField: z.string().min(1).optional().describe('the field with the second text').meta(own),
  labelField: z.string().min(1).default('label').describe('the field with the class').meta(own),
  threads: z.number().int().min(1).max(1024).optional().describe('compute threads; default: one per core'),
});

interface ClassifyAnswer {
  labels: readonly string[];
  results?: { text: string; label: string; probability: number; probabilities: Record<string, number> }[];
  score?: ClassifierScore;
}

/** @throws InkstoneError `text_missing`, `pairs_differ` */
async function given({ text = [], pair }: z.output<typeof schema>): Promise<TextPair[]> {
  if (text.length === 0)
    throw new InkstoneError('text_missing', 'there is nothing to classify', {
      kind: 'usage',
      hint: 'give --text, or a table with --data',
    });
  if (pair !== undefined && pair.length !== text.length)
    throw new InkstoneError(
      'pairs_differ',
      `${text.length} texts and ${pair.length} second texts make no pairs`,
      {
        kind: 'usage',
        hint: 'give --pair as often as --text',
      },
    );
  const texts = await Promise.all(text.map((one) => (one === '-' ? readInput() : one)));
  return texts.map((one, i) => ({ text: one, ...defined({ pair: pair?.[i] }) }));
}

export const classifyCommand = command({
  name: 'classify',
  summary: 'the class of a text, by a classifier',
  description:
    'Texts that are longer than the context are cut at their end. A table with labels gives accuracy, F1 of each class and their mean, with intervals.',
  schema,
  positionals: ['model'],
  examples: [
    'classify runs-out/classify-1 --text "What a delightful morning!"',
    'classify runs-out/classify-1 --data test.csv --json',
  ],
  async run(settings, { signal }): Promise<ClassifyAnswer> {
    const { folder } = await findModel(settings.model);
    const { data } = settings;
    const fields = { text: settings.textField, ...defined({ pair: settings.pairField }) };
    const rows = data === undefined ? undefined : await readTable(data);
    const texts = rows === undefined ? await given(settings) : textsOf(rows, fields, data);
    const backend = await createBackend('cpu', defined({ threads: settings.threads }));
    try {
      const classifier = await TextClassifier.open(folder, backend);
      const answers = await classifier.classify(texts, signal);
      const { labels } = classifier;
      await classifier.close();
      if (rows?.some((row) => row.fields[settings.labelField] !== undefined)) {
        const labelled = labelledOf(rows, { ...fields, label: settings.labelField }, data);
        return { labels, score: scoreClassifier({ labels }, labelled, answers) };
      }
      return {
        labels,
        results: answers.map(({ label, probabilities }, i) => ({
          text: (texts[i] as TextPair).text,
          label,
          probability: Math.max(...probabilities),
          probabilities: Object.fromEntries(labels.map((name, c) => [name, probabilities[c] as number])),
        })),
      };
    } finally {
      await backend.close();
    }
  },
  show: ({ results = [], score }) =>
    score === undefined
      ? results
          .map(({ label, probability, text }) => `${label}\t${probability.toFixed(4)}\t${text}`)
          .join('\n')
      : classifierScoreLines(score).join('\n'),
});
