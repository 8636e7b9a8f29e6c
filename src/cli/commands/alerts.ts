/** `inkstone alerts`: the rules for Prometheus, quiet for a while, and whether receivers can be reached. */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { homeFolder, now, writeFile, writeOut } from '../../base/host.ts';
import { Silences } from '../../operate/watch/alerts/alerter.ts';
import { readAlertConfig } from '../../operate/watch/alerts/config.ts';
import { tell } from '../../operate/watch/alerts/receivers.ts';
import { ruleFile } from '../../operate/watch/alerts/rule-file.ts';
import { rulesFor } from '../../operate/watch/alerts/rules.ts';
import type { AlertState } from '../../operate/watch/alerts/state.ts';
import { openStore } from '../../store/index.ts';
import { command } from '../command.ts';

const schema = z.object({
  action: z
    .enum(['list', 'rules', 'silence', 'unsilence', 'test'])
    .default('list')
    .describe('What to do: rules prints them for Prometheus; test sends a word to every receiver'),
  name: z
    .string()
    .optional()
    .describe('Rule to silence (NAME* for all that begin so), or id of a silence to end'),
  hours: z.number().positive().default(2).describe('Hours of silence'),
  comment: z.string().default('').describe('Why it is silenced'),
  out: z.string().optional().describe('File for the rules (default: standard output)'),
  home: z.string().optional().describe('Folder for all state (default: .inkstone)'),
});

export default command({
  name: 'alerts',
  summary: 'Alert rules for Prometheus, silences, and a test of receivers',
  description:
    'The server evaluates the rules itself and tells the receivers in alerts.json of the home folder; `rules` prints the same rules as a Prometheus rule file.',
  schema,
  positionals: ['action', 'name'],
  examples: [
    'alerts',
    'alerts rules --out inkstone.rules.yml',
    'alerts silence DiskNearlyFull --hours 4',
    'alerts test',
  ],
  async run({ action, name, hours, comment, out, home: given }, context) {
    const home = given ?? homeFolder();
    const config = await readAlertConfig(home);
    const rules = rulesFor(config.objectives).filter(({ id }) => !config.off.includes(id));
    if (action === 'rules') {
      const text = ruleFile(rules);
      if (out !== undefined) await writeFile(out, text);
      else if (!context.json) writeOut(text);
      return { rules: rules.length, ...(out === undefined ? (context.json ? { text } : {}) : { out }) };
    }
    if (action === 'test') {
      const at = now();
      const alert: AlertState = {
        ...{
          rule: 'Test',
          severity: 'page',
          summary: 'A test: nothing is wrong',
          hint: 'Nothing is to be done.',
        },
        ...{ state: 'firing', since: at, fired: at, value: 1 },
      };
      for (const to of config.receivers)
        await tell(
          { ...to, severities: ['page'] },
          { severity: 'page', status: 'firing', firing: [alert], resolved: [] },
        );
      return { told: config.receivers.map(({ type }) => type) };
    }
    const store = await openStore(home);
    try {
      const silences = new Silences(store);
      if (action === 'list')
        return {
          rules: rules.map(({ id, severity, summary }) => ({ id, severity, summary })),
          silences: await silences.list(now()),
        };
      if (name === undefined)
        throw new InkstoneError('argument_missing', `\`alerts ${action}\` needs a name`, {
          kind: 'usage',
          hint: `inkstone alerts ${action} NAME`,
        });
      if (action === 'unsilence') {
        await silences.remove(name);
        return { removed: name };
      }
      return {
        silence: await silences.add({ rule: name, until: now() + hours * 3_600_000, comment, by: 'cli' }),
      };
    } finally {
      await store.close();
    }
  },
  show(result) {
    const { rules, silences, silence, removed, told, out } = result as {
      rules?: { id: string; severity: string; summary: string }[] | number;
      silences?: { id: string; rule: string; until: number; comment: string }[];
      silence?: { id: string; rule: string; until: number };
      removed?: string;
      told?: string[];
      out?: string;
    };
    const until = (at: number): string => new Date(at).toISOString();
    if (told !== undefined)
      return told.length === 0 ? 'There are no receivers in alerts.json.' : `told by ${told.join(', ')}`;
    if (silence !== undefined)
      return `${silence.rule} is silent until ${until(silence.until)} (${silence.id})`;
    if (removed !== undefined) return `${removed} is over`;
    if (typeof rules === 'number') return out === undefined ? undefined : `${rules} rules in ${out}`;
    return [
      ...(rules ?? []).map(
        ({ id, severity, summary }) => `${severity.padEnd(6)}  ${id.padEnd(26)}  ${summary}`,
      ),
      ...(silences ?? []).map((one) =>
        `silent  ${one.rule} until ${until(one.until)}  ${one.id}  ${one.comment}`.trimEnd(),
      ),
    ].join('\n');
  },
});
