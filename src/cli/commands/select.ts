/** `inkstone select`: the best of several trainings by validation, scored once on text that none has seen. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { InkstoneError } from '../../base/errors.ts';
import { exists, makeFolder, readText, writeFile } from '../../base/host.ts';
import { z } from '../../base/schema.ts';
import { readPieces } from '../../data/text/pieces.ts';
import { type Selection, selectRun } from '../../operate/selection.ts';
import { type CommandContext, command } from '../command.ts';
import type { TextEvaluation } from '../evaluate-text.ts';
import { evaluateCommand } from './evaluate.ts';

const own = { environment: false } as const;

const schema = z.object({
  runs: z.array(z.string().min(1)).min(1).describe('run folders, or the folder of a search').meta(own),
  test: z.string().optional().describe('text that no run has seen, to score the chosen one once').meta(own),
  field: z.string().min(1).optional().describe('JSON lines: the field with the text').meta(own),
  out: z
    .string()
    .min(1)
    .default('runs-out/selection')
    .describe('where selection.json and the card go')
    .meta(own),
  force: z.boolean().default(false).describe('score again on a test text that was used before').meta(own),
  threads: z.number().int().min(1).max(1024).optional().describe('compute threads; default: one per core'),
});
type Settings = z.output<typeof schema>;

interface SelectResult extends Selection {
  /** The chosen run's score on the test text. */
  test?: TextEvaluation & { card: string };
  out: string;
}

async function fingerprintOf(data: string, field: string | undefined): Promise<string> {
  const digest = createHash('sha256');
  for await (const { text } of readPieces(data, field === undefined ? {} : { field })) digest.update(text);
  return digest.digest('hex');
}

/** A test text that was looked at before is no test any more. @throws InkstoneError `test_seen`, `test_used` */
async function requireUnseen(settings: Settings, selection: Selection): Promise<void> {
  const fingerprint = await fingerprintOf(settings.test as string, settings.field);
  if (fingerprint === selection.data_fingerprint)
    throw new InkstoneError('test_seen', 'the test text is the one that the runs were trained on', {
      kind: 'conflict',
      hint: 'give text that no run has seen',
    });
  const file = path.join(settings.out, 'selection.json');
  if (settings.force || !(await exists(file))) return;
  const before = JSON.parse(await readText(file)) as SelectResult;
  if (before.test?.data_fingerprint !== fingerprint) return;
  throw new InkstoneError(
    'test_used',
    `${settings.test} has been scored already, for ${before.chosen.folder}`,
    {
      kind: 'conflict',
      hint: 'a second look makes its figure flatter what is chosen by it: take other text, or --force if nothing was chosen by it',
    },
  );
}

async function scored(
  settings: Settings,
  folder: string,
  context: CommandContext,
): Promise<SelectResult['test']> {
  const asked = evaluateCommand.schema.parse({
    model: folder,
    data: settings.test,
    split: 'all',
    out: settings.out,
    field: settings.field,
    threads: settings.threads,
  });
  return (await evaluateCommand.run(asked, context)) as SelectResult['test'];
}

export const selectCommand = command({
  name: 'select',
  summary: 'choose the best of several trainings, and score it once on unseen text',
  description:
    'The best is the one with the lowest validation loss at its best checkpoint; runs on other text are refused, for their losses mean something else. ' +
    'With --test the chosen one, and no other, is scored on that text; a test text is used once.',
  schema,
  positionals: ['runs'],
  examples: ['select runs-out/a runs-out/b', 'select runs-out/search --test unseen.txt --json'],
  async run(settings, context): Promise<SelectResult> {
    const selection = await selectRun(settings.runs);
    if (settings.test !== undefined) await requireUnseen(settings, selection);
    const test =
      settings.test === undefined ? undefined : await scored(settings, selection.chosen.folder, context);
    const result: SelectResult = { ...selection, ...(test === undefined ? {} : { test }), out: settings.out };
    await makeFolder(settings.out);
    await writeFile(path.join(settings.out, 'selection.json'), `${JSON.stringify(result, null, 2)}\n`);
    return result;
  },
  show({ candidates, chosen, test }) {
    const rows = candidates.map(
      ({ folder, loss, step, parameters }) =>
        `${folder === chosen.folder ? '→' : ' '} ${loss.toFixed(4)}  step ${step}, ${parameters} parameters, ${folder}`,
    );
    const score =
      test === undefined
        ? []
        : [
            '',
            `on unseen text: ${test.nats_per_character.toFixed(4)} nats per character (95 % from ${test.interval[0].toFixed(4)} to ${test.interval[1].toFixed(4)}), ${test.card}`,
          ];
    return ['nats per character on the validation part:', ...rows, ...score].join('\n');
  },
});
