/** `inkstone prompt list`: prompts with their newest versions and labels. */
import { z } from '../../../base/schema.ts';
import { command } from '../../command.ts';
import { homeSetting, openPrompts } from '../../prompt-settings.ts';

export const promptListCommand = command({
  name: 'prompt list',
  summary: 'list the prompts',
  schema: z.object({ home: homeSetting }),
  examples: ['prompt list --json'],
  async run({ home }) {
    return { prompts: await (await openPrompts(home)).list() };
  },
  show({ prompts }) {
    if (prompts.length === 0) return 'No prompts yet: inkstone prompt add NAME FILE';
    return prompts
      .map(({ name, latest, labels, description }) => {
        const marks = Object.entries(labels).map(([label, version]) => `${label}@${version}`);
        return [
          name,
          `${latest} ${latest === 1 ? 'version' : 'versions'}`,
          marks.join(', '),
          description ?? '',
        ]
          .filter((part) => part !== '')
          .join('  ');
      })
      .join('\n');
  },
});
