/** `inkstone prompt add`: a prompt from a file becomes a version that never changes. */
import { z } from '../../../base/schema.ts';
import { command } from '../../command.ts';
import { homeSetting, openPrompts, own, readDefinition } from '../../prompt-settings.ts';

export const promptAddCommand = command({
  name: 'prompt add',
  summary: 'keep a prompt as a new version',
  description:
    'A file with a plain text is a template; one with JSON has text or messages, variables, examples and choices. ' +
    'The same prompt again makes no new version.',
  schema: z.object({
    name: z.string().min(1).describe('small letters, digits, dots, dashes, underscores').meta(own),
    file: z.string().min(1).describe('the prompt; - reads standard input').meta(own),
    note: z.string().max(500).optional().describe('why it was changed').meta(own),
    label: z.string().optional().describe('a label to point at it: production').meta(own),
    home: homeSetting,
  }),
  positionals: ['name', 'file'],
  examples: [
    'prompt add greet greet.txt',
    'prompt add sentiment sentiment.json --label production --note "shorter"',
  ],
  async run({ name, file, note, label, home }) {
    const made = await (await openPrompts(home)).add(name, await readDefinition(file), { note, label });
    const { definition: _, ...rest } = made;
    return { ...rest, ...(label === undefined ? {} : { label }) };
  },
  show: ({ name, version, added }) => `${name}@${version}${added ? '' : ' (as it was)'}`,
});
