/** `inkstone search text`: the best settings of a text training, by successive halving. */
import path from 'node:path';
import { InkstoneError } from '../../../base/errors.ts';
import { readText } from '../../../base/host.ts';
import { bar } from '../../../base/progress.ts';
import { z } from '../../../base/schema.ts';
import { codeVersion } from '../../../base/version.ts';
import { createBackend } from '../../../runtime/index.ts';
import { RunFolder } from '../../../train/run-folder.ts';
import {
  readSpace,
  rungsOf,
  type SearchConfig,
  type SearchResult,
  searchText,
} from '../../../train/search/index.ts';
import { command } from '../../command.ts';
import { commandLine } from '../../command-line.ts';
import { defined, presetOf } from '../../train-text-plan.ts';

const whole = z.number().int();
const own = { environment: false } as const;

const schema = z.object({
  preset: z.string().optional().describe('where the settings that are not searched come from').meta(own),
  data: z.string().optional().describe('a text file, a folder, .jsonl, .gz or .tar.gz').meta(own),
  space: z.string().optional().describe('a JSON file: settings by name with what each may be').meta(own),
  trials: whole.min(1).max(10_000).default(16).describe('settings that are tried').meta(own),
  out: z.string().min(1).describe('the folder of the search').meta(own),
  steps: whole.min(1).optional().describe("steps of a whole training; default the preset's").meta(own),
  smallest: whole
    .min(1)
    .optional()
    .describe('steps of the first rung at least; default a 27th of --steps')
    .meta(own),
  eta: whole.min(2).max(16).default(3).describe('of how many trials one goes on to the next rung').meta(own),
  seed: whole.min(0).default(1).describe('of the settings that are drawn and of every training').meta(own),
  validation: z
    .number()
    .gt(0)
    .lt(1)
    .default(0.1)
    .describe('the last part of the characters, to judge by')
    .meta(own),
  field: z.string().min(1).optional().describe('JSON lines: the field with the text').meta(own),
  resume: z.boolean().default(false).describe('go on with the search in --out').meta(own),
  force: z.boolean().default(false).describe('replace the search in --out').meta(own),
  device: z.enum(['cpu', 'webgpu']).default('cpu').describe('where the arithmetic runs'),
  threads: whole.min(1).max(1024).optional().describe('compute threads; default: one per core'),
});
type Settings = z.output<typeof schema>;

function need(name: string): InkstoneError {
  return new InkstoneError('invalid_input', `--${name} is required`, {
    kind: 'usage',
    hint: 'inkstone search text --preset P --data D --space space.json --trials N --out DIR',
  });
}

/** @throws InkstoneError `space_invalid`, `file_missing` */
async function spaceOf(file: string) {
  const text = await readText(file);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new InkstoneError('space_invalid', `${file} is not JSON`, { kind: 'usage', cause });
  }
  return readSpace(value);
}

/** Flags; what a resumed search was not given again it knows. */
async function planned(settings: Settings) {
  const before = settings.resume
    ? await new RunFolder(settings.out).readJson<SearchConfig>('search.json')
    : undefined;
  const name = settings.preset ?? before?.preset;
  const data = settings.data ?? (before?.provenance.data as string | undefined);
  if (name === undefined) throw need('preset');
  if (data === undefined) throw need('data');
  if (settings.space === undefined && before === undefined) throw need('space');
  const preset = presetOf(name);
  const space = settings.space === undefined ? (before as SearchConfig).space : await spaceOf(settings.space);
  // A search that is resumed by its folder alone is what it was.
  const same = before !== undefined && settings.space === undefined;
  const largest = settings.steps ?? (same ? before.plan.largest : preset.training.steps);
  const plan = same
    ? before.plan
    : {
        trials: settings.trials,
        eta: settings.eta,
        smallest: settings.smallest ?? Math.max(1, Math.floor(largest / 27)),
        largest,
      };
  const seed = same ? before.seed : settings.seed;
  const validation = same ? before.validation : settings.validation;
  const field = settings.field ?? (before?.provenance.field as string | undefined);
  return { preset, data: path.resolve(data), space, plan, seed, validation, field };
}

export const searchTextCommand = command({
  name: 'search text',
  summary: 'find the best settings of a text training, by successive halving',
  description:
    'All trials take the steps of the first rung, the best part of them goes on from its checkpoints to the next. Nothing is measured twice: ' +
    'after a kill, --resume goes on and ends with the same result. Every trial is a run folder in OUT/trials. ' +
    'A space has dimensions of type log-uniform, uniform and integer (low, high) and choice (values).',
  schema,
  examples: [
    'search text --preset tiny --data my.txt --space space.json --trials 27 --out runs-out/search',
    'search text --resume --out runs-out/search',
  ],
  async run(settings, context): Promise<SearchResult & { out: string }> {
    const { field, ...plan } = await planned(settings);
    const rungs = rungsOf(plan.plan);
    const backend = await createBackend(settings.device, defined({ threads: settings.threads }));
    try {
      if (!context.json)
        context.progress.note(
          `rungs: ${rungs.map(({ trials, steps }) => `${trials} × ${steps} steps`).join(', ')}`,
        );
      const result = await searchText({
        ...plan,
        ...defined({ field }),
        out: settings.out,
        backend,
        resume: settings.resume,
        force: settings.force,
        signal: context.signal,
        report: (trial, rung, { step, steps, loss }) =>
          context.progress.show(
            `${bar(step / steps)} rung ${rung + 1}/${rungs.length}, trial ${trial}: step ${step}, loss ${loss.toFixed(3)}`,
          ),
        provenance: {
          version: await codeVersion(),
          command: commandLine(),
          data: plan.data,
          ...defined({ field }),
        },
      });
      return { ...result, out: settings.out };
    } finally {
      await backend.close();
    }
  },
  show({ trials, rungs, best, steps, full_steps, state, out }) {
    const order = [...trials].sort(
      (a, b) => b.steps - a.steps || (a.losses.at(-1) ?? Infinity) - (b.losses.at(-1) ?? Infinity),
    );
    const head = ['trial', ...rungs.map((rung) => `${rung.steps} steps`), 'settings'];
    const rows = order.map(({ trial, losses, values }) => [
      String(trial),
      ...rungs.map((_, i) => {
        const loss = losses[i];
        return loss === undefined ? '' : loss === null ? 'diverged' : loss.toFixed(4);
      }),
      Object.entries(values)
        .map(([name, value]) => `${name} ${value}`)
        .join(', '),
    ]);
    const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => (row[i] as string).length)));
    const table = [head, ...rows].map((row) =>
      row.map((cell, i) => (i === row.length - 1 ? cell : cell.padStart(widths[i] as number))).join('  '),
    );
    const end =
      best === null
        ? `${state}; go on with: inkstone search text --resume --out ${out}`
        : `best: trial ${best.trial}, ${best.loss.toFixed(4)} nats per character, in ${out}/${best.folder}; ${steps} steps instead of ${full_steps}`;
    return [...table, '', end].join('\n');
  },
});
