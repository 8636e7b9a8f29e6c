/** `inkstone keys`: API keys are made, listed and taken back. */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { homeFolder } from '../../base/host.ts';
import { Keys } from '../../serve/index.ts';
import { openFileStore } from '../../store/index.ts';
import { command } from '../command.ts';

const schema = z.object({
  action: z.enum(['create', 'list', 'revoke']).default('list').describe('What to do'),
  name: z.string().optional().describe('Name of the key to create; name, id or prefix of the one to revoke'),
  home: z.string().optional().describe('Folder for all state (default: .inkstone)'),
});

export default command({
  name: 'keys',
  summary: 'Make, list and revoke API keys',
  description:
    'While there is no key, the server is open to this machine only. A key is shown once, when it is made; only its hash is kept.',
  schema,
  positionals: ['action', 'name'],
  examples: ['keys create laptop', 'keys list', 'keys revoke laptop'],
  async run({ action, name, home }) {
    const keys = new Keys(await openFileStore(`${home ?? homeFolder()}/store`));
    if (action === 'list')
      return {
        keys: (await keys.list()).map(({ id, name: label, prefix, created }) => ({
          id,
          name: label,
          prefix,
          created,
        })),
      };
    if (name === undefined)
      throw new InkstoneError('argument_missing', `\`keys ${action}\` needs a name`, {
        kind: 'usage',
        hint: `inkstone keys ${action} NAME`,
      });
    if (action === 'revoke') return { revoked: (await keys.revoke(name)).id };
    const { key, row } = await keys.create(name);
    return { key, id: row.id, name: row.name };
  },
  show(result) {
    const made = result as {
      key?: string;
      keys?: { id: string; name: string; prefix: string; created: number }[];
      revoked?: string;
    };
    if (made.key !== undefined)
      return `${made.key}\nKeep it now: it is not shown again. From here on the server asks for a key.`;
    if (made.revoked !== undefined) return `revoked ${made.revoked}`;
    if ((made.keys ?? []).length === 0) return 'No keys: the server is open to this machine only.';
    return (made.keys ?? [])
      .map(
        (k) => `${k.id}  ${k.prefix}…  ${new Date(k.created * 1000).toISOString().slice(0, 10)}  ${k.name}`,
      )
      .join('\n');
  },
});
