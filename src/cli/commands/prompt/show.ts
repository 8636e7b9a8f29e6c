/** `inkstone prompt show`: one version as it is, its history, or what changed between two. */
import { timestamp } from '../../../base/host.ts';
import { z } from '../../../base/schema.ts';
import type { PromptDiff, PromptHistory, PromptVersion } from '../../../prompt/index.ts';
import { promptLines } from '../../../prompt/index.ts';
import { command } from '../../command.ts';
import { homeSetting, openPrompts, own, referenceSetting } from '../../prompt-settings.ts';

const date = (seconds: number): string =>
  timestamp(seconds * 1000)
    .slice(0, 16)
    .replace('T', ' ');
const SIGN = { same: ' ', removed: '-', added: '+' } as const;

export const promptShowCommand = command({
  name: 'prompt show',
  summary: 'show a prompt, its history, or what changed',
  schema: z.object({
    prompt: referenceSetting,
    history: z.boolean().default(false).describe('all versions and where labels pointed').meta(own),
    diff: z.string().optional().describe('a version or label to compare it with').meta(own),
    home: homeSetting,
  }),
  positionals: ['prompt'],
  examples: ['prompt show greet@production', 'prompt show greet --history', 'prompt show greet@3 --diff 2'],
  async run({ prompt, history, diff, home }): Promise<PromptVersion | PromptHistory | PromptDiff> {
    const prompts = await openPrompts(home);
    const [name, at] = prompt.split('@', 2) as [string, string | undefined];
    if (history) return prompts.history(name);
    return diff === undefined ? prompts.get(prompt) : prompts.diff(name, diff, at ?? 'latest');
  },
  show(result) {
    if ('lines' in result)
      return result.same
        ? `${result.name}@${result.from} and @${result.to} are the same`
        : result.lines.map(({ kind, text }) => `${SIGN[kind]} ${text}`).join('\n');
    if ('versions' in result)
      return result.versions
        .map(({ version, created, labels, note }) =>
          [`@${version}`, date(created), labels.join(', '), note ?? '']
            .filter((part) => part !== '')
            .join('  '),
        )
        .join('\n');
    return [
      `${result.name}@${result.version}  ${date(result.created)}`,
      '',
      ...promptLines(result.definition),
    ].join('\n');
  },
});
