/** `inkstone prompt label`: points a label at a version, or takes it away. */
import { z } from '../../../base/schema.ts';
import { command } from '../../command.ts';
import { homeSetting, openPrompts, own, referenceSetting } from '../../prompt-settings.ts';

export const promptLabelCommand = command({
  name: 'prompt label',
  summary: 'point a label at a version of a prompt',
  schema: z.object({
    prompt: referenceSetting,
    label: z.string().min(1).describe('production, staging, …').meta(own),
    remove: z.boolean().default(false).describe('take the label away').meta(own),
    home: homeSetting,
  }),
  positionals: ['prompt', 'label'],
  examples: ['prompt label greet@3 production', 'prompt label greet production --remove'],
  run: async ({ prompt, label, remove, home }) => (await openPrompts(home)).label(prompt, label, remove),
  show: ({ name, labels }) =>
    `${name}: ${
      Object.entries(labels)
        .map(([label, version]) => `${label}@${version}`)
        .join(', ') || 'no labels'
    }`,
});
