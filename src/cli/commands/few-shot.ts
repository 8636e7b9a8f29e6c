/**
 * `inkstone few-shot`: how much examples help a model (Brown et al. 2020): the same questions with none, one and more
 * of them before, by likelihood of choices, by completion, or by what is written.
 */
import { InkstoneError } from '../../base/errors.ts';
import { readText } from '../../base/host.ts';
import { z } from '../../base/schema.ts';
import { readObjects } from '../../evaluate/index.ts';
import type { NamedPrompt } from '../../operate/prompt-evaluation.ts';
import { compilePrompt, type PromptDefinition, SELECTIONS } from '../../prompt/index.ts';
import { command } from '../command.ts';
import { compareInFolder, comparisonSettings, readTaskSet, showComparison } from '../prompt-comparison.ts';
import { findPrompt, openPrompts, own, unescaped } from '../prompt-settings.ts';

const schema = z.object({
  ...comparisonSettings,
  examples: z
    .string()
    .optional()
    .describe('JSON lines that examples are drawn from: no question of --data; default the prompt’s own')
    .meta(own),
  shots: z
    .string()
    .regex(/^\s*\d+(\s*,\s*\d+)*\s*$/, 'must be numbers with commas between them, as 0,1,8')
    .default('0,1,8')
    .describe('numbers of examples')
    .meta(own),
  prompt: z
    .string()
    .optional()
    .describe('NAME, NAME@VERSION, NAME@LABEL or a file, in place of the three below')
    .meta(own),
  question: z.string().default('Q: {{question}}\nA:').describe('how a question stands in the text').meta(own),
  example: z
    .string()
    .default('Q: {{question}}\nA: {{answer}}')
    .describe('how an example stands before it')
    .meta(own),
  separator: z.string().default('\n\n').describe('between two examples, and before the question').meta(own),
  choices: z.string().optional().describe('choices of every question, with commas between them').meta(own),
  select: z
    .enum(SELECTIONS)
    .default('random')
    .describe('which examples: drawn for each question, the first, or the nearest')
    .meta(own),
  by: z.string().optional().describe('similar: the field that is compared').meta(own),
});
type Settings = z.output<typeof schema>;

async function baseOf(settings: Settings): Promise<{ name: string; definition: PromptDefinition }> {
  const rows =
    settings.examples === undefined
      ? undefined
      : readObjects(await readText(settings.examples), settings.examples).map(({ row }) => row);
  if (settings.prompt !== undefined) {
    const found = await findPrompt(settings.prompt, await openPrompts(settings.home));
    const { examples } = found.definition;
    if (examples === undefined)
      throw new InkstoneError('examples_missing', `${found.name} has no place for examples`, {
        kind: 'usage',
        hint: 'give it examples with a format, and {{examples}} in its text',
      });
    return {
      ...found,
      definition: { ...found.definition, examples: { ...examples, ...(rows === undefined ? {} : { rows }) } },
    };
  }
  if (rows === undefined)
    throw new InkstoneError('examples_missing', 'there is nothing to draw examples from', {
      kind: 'usage',
      hint: 'name JSON lines with --examples, or a prompt that has some with --prompt',
    });
  const separator = unescaped(settings.separator);
  return {
    name: 'question',
    definition: compilePrompt({
      text: `{{#examples}}{{examples}}${separator}{{/examples}}${unescaped(settings.question)}`,
      examples: {
        ...{
          rows,
          separator,
          format: unescaped(settings.example),
          select: settings.select,
          seed: settings.seed,
        },
        ...(settings.by === undefined ? {} : { by: settings.by }),
      },
      ...(settings.choices === undefined
        ? {}
        : { choices: settings.choices.split(',').map((one) => one.trim()) }),
    }).definition,
  };
}

/** The prompt once for each number of examples. @throws InkstoneError `examples_few` */
export function withShots(
  { name, definition }: { name: string; definition: PromptDefinition },
  shots: readonly number[],
): NamedPrompt[] {
  const { examples } = definition;
  const most = examples?.rows.length ?? 0;
  return [...new Set(shots)].map((count) => {
    if (count > most)
      throw new InkstoneError('examples_few', `${count} examples were asked, there are ${most}`, {
        kind: 'usage',
        hint: `ask for at most ${most}, or give more`,
      });
    return {
      name: `${name}, ${count} ${count === 1 ? 'example' : 'examples'}`,
      definition: { ...definition, examples: { ...(examples as NonNullable<typeof examples>), count } },
    };
  });
}

export const fewShotCommand = command({
  name: 'few-shot',
  summary: 'ask a model with no, one and more examples before the question',
  description:
    'GPT-3’s way of asking: examples are drawn for each question (a question never among its own), separated by blank lines. With choices ' +
    'the likeliest is taken, likelihoods per token or over that of the choice alone (--normalise unconditional); without them the answer is written ' +
    'greedily, or asked for by --metric completion. Means have intervals; each number of examples is compared with the first.',
  schema,
  positionals: ['model'],
  examples: [
    'few-shot starter --data test.jsonl --examples train.jsonl --shots 0,1,8',
    'few-shot starter --data test.jsonl --examples train.jsonl --choices yes,no --normalise unconditional --json',
  ],
  async run(settings, context) {
    const shots = settings.shots.split(',').map(Number);
    const prompts = withShots(await baseOf(settings), shots);
    return compareInFolder(settings, prompts, await readTaskSet(settings), context);
  },
  show: showComparison,
});
