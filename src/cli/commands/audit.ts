/** `inkstone audit`: who changed what, and whether the log of it is whole. */
import { z } from 'zod';
import { homeFolder } from '../../base/host.ts';
import { type AuditEntry, AuditLog } from '../../operate/audit-log.ts';
import { command } from '../command.ts';

const schema = z.object({
  action: z.enum(['list', 'verify']).default('list').describe('What to do'),
  head: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional()
    .describe('With verify: a hash that was printed earlier; shows whether lines at the end are missing'),
  last: z.int().min(1).default(50).describe('With list: how many of the newest'),
  home: z.string().optional().describe('Folder for all state (default: .inkstone)'),
});

export default command({
  name: 'audit',
  summary: 'Show or check the log of who changed what',
  description:
    'Keys made and taken back, log-ins, files, trainings and models changed. Each line carries the hash of the one before; `verify` finds a line that was changed, taken out or put in. Keep the hash that it prints elsewhere.',
  schema,
  positionals: ['action'],
  examples: ['audit', 'audit verify', 'audit verify --head 3f0c…'],
  async run({ action, head, last, home }) {
    const log = new AuditLog(home ?? homeFolder());
    if (action === 'verify') return log.verify(head);
    const entries: AuditEntry[] = [];
    for await (const entry of log.entries()) {
      if (entry !== undefined) entries.push(entry);
      if (entries.length > last) entries.shift();
    }
    return { entries };
  },
  show(result) {
    if (!Array.isArray((result as { entries: unknown }).entries)) {
      const { entries, torn, head } = result as { entries: number; torn: number; head: string };
      return `${entries} entries, whole${torn > 0 ? `; ${torn} lines were cut short` : ''}\n${head}`;
    }
    const { entries } = result as { entries: AuditEntry[] };
    return entries
      .map(({ time, actor, action, target }) => `${time}  ${actor}  ${action}  ${target ?? ''}`.trimEnd())
      .join('\n');
  },
});
