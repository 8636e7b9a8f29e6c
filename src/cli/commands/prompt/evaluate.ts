/** `inkstone prompt evaluate`: prompts side by side on questions with known answers. */
import { z } from '../../../base/schema.ts';
import { command } from '../../command.ts';
import { compareInFolder, comparisonSettings, readTaskSet, showComparison } from '../../prompt-comparison.ts';
import { findPrompt, openPrompts, own } from '../../prompt-settings.ts';

export const promptEvaluateCommand = command({
  name: 'prompt evaluate',
  summary: 'compare prompts on questions with known answers',
  description:
    'Every prompt asks every question; means have intervals (Wilson, bootstrap), and each prompt is compared with the first by a paired test ' +
    '(McNemar’s for right and wrong, else a bootstrap). Answers are kept as they come: --resume goes on after a kill. ' +
    '`choice` takes the choice that the model holds likeliest; `completion` asks whether greedy decoding would write the answer.',
  schema: z.object({
    ...comparisonSettings,
    prompt: z
      .array(z.string().min(1))
      .min(1)
      .describe('NAME, NAME@VERSION, NAME@LABEL or a file; repeat it for the others')
      .meta(own),
  }),
  positionals: ['model'],
  examples: [
    'prompt evaluate starter --prompt greet@1 --prompt greet@2 --data questions.jsonl',
    'prompt evaluate starter --prompt a.json --prompt b.json --data q.jsonl --metric choice --normalise unconditional --json',
  ],
  async run(settings, context) {
    const registry = await openPrompts(settings.home);
    const prompts = [];
    for (const given of settings.prompt) prompts.push(await findPrompt(given, registry));
    return compareInFolder(settings, prompts, await readTaskSet(settings), context);
  },
  show: showComparison,
});
