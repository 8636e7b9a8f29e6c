/** `inkstone keys`: API keys are made, listed, rotated and taken back. */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { homeFolder, now } from '../../base/host.ts';
import { AuditLog } from '../../operate/audit-log.ts';
import { Ledger } from '../../operate/quota/ledger.ts';
import type { KeyLimits } from '../../operate/quota/quotas.ts';
import { type KeyRow, type KeySettings, Keys, SCOPES } from '../../serve/index.ts';
import { openStore } from '../../store/index.ts';
import { command } from '../command.ts';

const schema = z.object({
  action: z.enum(['create', 'list', 'revoke', 'rotate']).default('list').describe('What to do'),
  name: z
    .string()
    .optional()
    .describe('Name of the key to create; name, id or prefix of the one to revoke or rotate'),
  scope: z
    .array(z.enum(SCOPES))
    .default([])
    .describe('What the key may do (default: the first key everything, others all but gateway and admin)'),
  models: z.array(z.string()).default([]).describe('Models that it may use; NAME* for all that begin so'),
  days: z.number().positive().optional().describe('Days until it expires (default: never)'),
  requests: z.int().min(1).optional().describe('Requests a minute'),
  tokens: z.int().min(1).optional().describe('Tokens a minute, of prompts and answers'),
  concurrency: z.int().min(1).optional().describe('Requests at once'),
  budget: z.number().min(0).optional().describe('What it may spend, in the unit of `serve --price`'),
  period: z.enum(['total', 'month', 'day']).default('total').describe('What the budget is for'),
  grace: z.int().min(0).default(0).describe('Seconds that the old key still works after a rotation'),
  home: z.string().optional().describe('Folder for all state (default: .inkstone)'),
});
type Given = z.output<typeof schema>;

interface Shown {
  id: string;
  name: string;
  prefix: string;
  created: number;
  expires?: number;
  scopes: readonly string[];
  models?: readonly string[];
  limits?: KeyLimits;
  spent: number;
  requests: number;
}

function settingsOf({
  scope,
  models,
  days,
  requests,
  tokens,
  concurrency,
  budget,
  period,
}: Given): KeySettings {
  const limits: KeyLimits = {
    ...(requests === undefined ? {} : { requestsPerMinute: requests }),
    ...(tokens === undefined ? {} : { tokensPerMinute: tokens }),
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(budget === undefined ? {} : { budget, period }),
  };
  return {
    ...(scope.length === 0 ? {} : { scopes: scope }),
    ...(models.length === 0 ? {} : { models }),
    ...(days === undefined ? {} : { expires: Math.floor(now() / 1000 + days * 86_400) }),
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
  };
}

async function shown(row: KeyRow, ledger: Ledger): Promise<Shown> {
  const { id, name, prefix, created, expires, scopes, models, limits } = row;
  const { spent, cost, requests } = await ledger.row(id);
  return {
    ...{ id, name, prefix, created },
    ...(expires === undefined ? {} : { expires }),
    scopes: scopes ?? SCOPES,
    ...(models === undefined ? {} : { models }),
    ...(limits === undefined ? {} : { limits }),
    ...{ spent: limits?.budget === undefined ? cost : spent, requests },
  };
}

export default command({
  name: 'keys',
  summary: 'Make, list, rotate and revoke API keys',
  description:
    'While there is no key, the server is open to this machine only. A key is shown once, when it is made; only its hash is kept. The first key may do everything; those after it all but look after others (scope admin) or ask for others, as a gateway does (scope gateway).',
  schema,
  positionals: ['action', 'name'],
  examples: [
    'keys create laptop',
    'keys create shop --scope generate --models small --requests 60 --tokens 20000 --budget 5 --period month',
    'keys create gateway --scope generate --scope files --scope train --scope gateway',
    'keys list',
    'keys rotate laptop --grace 3600',
    'keys revoke laptop',
  ],
  async run(given) {
    const { action, name, grace } = given;
    const home = given.home ?? homeFolder();
    const store = await openStore(home);
    const keys = new Keys(store);
    const audit = new AuditLog(home);
    try {
      if (action === 'list') {
        const ledger = new Ledger(store, now);
        return { keys: await Promise.all((await keys.list()).map((row) => shown(row, ledger))) };
      }
      if (name === undefined)
        throw new InkstoneError('argument_missing', `\`keys ${action}\` needs a name`, {
          kind: 'usage',
          hint: `inkstone keys ${action} NAME`,
        });
      const note = (row: KeyRow, details: Record<string, unknown> = {}): Promise<unknown> =>
        audit.append({
          actor: 'cli',
          action: `key.${action}`,
          target: row.id,
          details: { name: row.name, ...details },
        });
      if (action === 'revoke') {
        const row = await keys.revoke(name);
        await note(row);
        return { revoked: row.id };
      }
      const settings = settingsOf(given);
      const { key, row } =
        action === 'rotate' ? await keys.rotate(name, grace) : await keys.create(name, settings);
      await note(row, action === 'rotate' ? { grace } : { ...settings });
      return { key, id: row.id, name: row.name, scopes: row.scopes ?? SCOPES };
    } finally {
      await store.close();
    }
  },
  show(result) {
    const made = result as { key?: string; scopes?: readonly string[]; keys?: Shown[]; revoked?: string };
    if (made.key !== undefined)
      return `${made.key}\nKeep it now: it is not shown again. It may ${(made.scopes ?? []).join(', ')}. From here on the server asks for a key.`;
    if (made.revoked !== undefined) return `revoked ${made.revoked}`;
    if ((made.keys ?? []).length === 0) return 'No keys: the server is open to this machine only.';
    const day = (at: number): string => new Date(at * 1000).toISOString().slice(0, 10);
    return (made.keys ?? [])
      .map(({ id, name, prefix, created, expires, scopes, models, limits, spent }) =>
        [
          `${id}  ${prefix}…  ${day(created)}  ${name}`,
          scopes.length === SCOPES.length ? 'all' : scopes.join(','),
          ...(expires === undefined ? [] : [`until ${day(expires)}`]),
          ...(models === undefined ? [] : [`models ${models.join(',')}`]),
          ...(limits?.requestsPerMinute === undefined ? [] : [`${limits.requestsPerMinute} requests/min`]),
          ...(limits?.tokensPerMinute === undefined ? [] : [`${limits.tokensPerMinute} tokens/min`]),
          ...(limits?.concurrency === undefined ? [] : [`${limits.concurrency} at once`]),
          `spent ${spent.toFixed(4)}${limits?.budget === undefined ? '' : ` of ${limits.budget} (${limits.period ?? 'total'})`}`,
        ].join('  '),
      )
      .join('\n');
  },
});
