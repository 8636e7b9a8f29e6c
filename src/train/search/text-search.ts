/**
 * A hyper-parameter search over text trainings in one folder: every trial is a run folder of its own, paused at each
 * rung and resumed at the next. What was measured is appended to trials.jsonl, so a search killed at any moment goes
 * on and ends with the same result.
 */
import { InkstoneError } from '../../base/errors.ts';
import { appendText, exists, makeFolder, readText, removeFile } from '../../base/host.ts';
import { readTokenizer } from '../../data/tokenizer/read.ts';
import type { Tokenizer } from '../../data/tokenizer/tokenizer.ts';
import type { TextPreset } from '../../models/text/presets.ts';
import type { Backend } from '../../runtime/contract.ts';
import { RunFolder } from '../run-folder.ts';
import { type TextRunConfig, trainText } from '../text-run.ts';
import type { TrainProgress } from '../trainer.ts';
import type { TrialResult } from './halving.ts';
import { type HalvingOutcome, type HalvingPlan, type Rung, rungsOf, successiveHalving } from './halving.ts';
import { drawTrials, type SearchSpace, settingsOf, type TrialValues } from './space.ts';

export interface TextSearchOptions {
  preset: TextPreset;
  data: string;
  out: string;
  space: SearchSpace;
  plan: HalvingPlan;
  /** Of the drawn settings and of every training. */
  seed: number;
  backend: Backend;
  validation?: number;
  field?: string;
  resume?: boolean;
  force?: boolean;
  signal?: AbortSignal;
  report?(trial: number, rung: number, progress: TrainProgress): void;
  provenance?: Record<string, unknown>;
}

/** search.json: what a search is; a resumed one must be the same. */
export interface SearchConfig {
  preset: string;
  space: SearchSpace;
  plan: HalvingPlan;
  seed: number;
  validation: number;
  rungs: Rung[];
  trials: TrialValues[];
  provenance: Record<string, unknown>;
}

export interface TrialReport {
  trial: number;
  values: TrialValues;
  /** Validation losses, rung by rung; null where it diverged. */
  losses: (number | null)[];
  steps: number;
  /** `kept` reached the last rung. */
  state: 'kept' | 'dropped' | 'diverged' | 'open';
}

/** result.json: the same bytes for the same search, however often it was interrupted. */
export interface SearchResult {
  state: HalvingOutcome['state'];
  unit: 'nats per character';
  data_fingerprint: string | null;
  rungs: Rung[];
  best: { trial: number; loss: number; values: TrialValues; folder: string } | null;
  trials: TrialReport[];
  /** Steps that were taken in all, and that full trainings of all trials would have taken. */
  steps: number;
  full_steps: number;
}

/** One line of trials.jsonl. */
type TrialLine = TrialResult & { data: string };

const trialFolder = (trial: number): string => `trials/${String(trial).padStart(3, '0')}`;

/** @throws InkstoneError `search_exists`, `search_missing`, `config_differs`, `data_differs` and what a training throws */
export async function searchText(options: TextSearchOptions): Promise<SearchResult> {
  const rungs = rungsOf(options.plan);
  const trials = drawTrials(options.space, options.preset, options.plan.trials, options.seed);
  const folder = new RunFolder(options.out);
  const made = !(await exists(folder.path));
  await makeFolder(folder.path);
  const unlock = await folder.lock();
  try {
    const config: SearchConfig = {
      preset: options.preset.id,
      space: options.space,
      plan: options.plan,
      seed: options.seed,
      validation: options.validation ?? 0.1,
      rungs,
      trials,
      provenance: options.provenance ?? {},
    };
    await begin(folder, config, options);
    const search = new TextSearch(options, folder, config);
    const result = await search.run();
    await folder.writeJson('result.json', result);
    return result;
  } catch (thrown) {
    if (made && !(await exists(folder.file('search.json')))) await removeFile(folder.path);
    throw thrown;
  } finally {
    await unlock();
  }
}

async function begin(folder: RunFolder, config: SearchConfig, options: TextSearchOptions): Promise<void> {
  const before = await folder.readJson<SearchConfig>('search.json');
  if (options.resume === true) {
    if (before === undefined)
      throw new InkstoneError('search_missing', `there is no search in ${options.out} to resume`, {
        kind: 'missing',
        hint: 'check --out, or leave --resume out to start one',
      });
    const fields = (['preset', 'space', 'plan', 'seed', 'validation'] as const).filter(
      (name) => JSON.stringify(before[name]) !== JSON.stringify(config[name]),
    );
    if (fields.length === 0) return;
    throw new InkstoneError(
      'config_differs',
      `the search was started with other settings (${fields.join(', ')})`,
      { kind: 'conflict', hint: 'resume it as it was started, or start another with --out' },
    );
  }
  if ((before !== undefined || (await folder.exists())) && options.force !== true)
    throw new InkstoneError('search_exists', `${options.out} holds a search or a run already`, {
      kind: 'conflict',
      hint: 'go on with it (--resume), replace it (--force), or choose another --out',
    });
  for (const name of ['search.json', 'trials.jsonl', 'result.json', 'trials', 'data', 'tokenizer.json'])
    await removeFile(folder.file(name));
  await folder.writeJson('search.json', config);
}

class TextSearch {
  private readonly options: TextSearchOptions;
  private readonly folder: RunFolder;
  private readonly config: SearchConfig;
  /** Fingerprint of the data, once a trial has read them. */
  private data: string | undefined;
  private tokenizer: Tokenizer | undefined;

  constructor(options: TextSearchOptions, folder: RunFolder, config: SearchConfig) {
    this.options = options;
    this.folder = folder;
    this.config = config;
  }

  async run(): Promise<SearchResult> {
    const known = await this.known();
    this.data = known[0]?.data;
    const tokenizer = this.folder.file('tokenizer.json');
    if (await exists(tokenizer)) this.tokenizer = readTokenizer(await readText(tokenizer));
    const outcome = await successiveHalving({
      rungs: this.config.rungs,
      known,
      advance: (trial, rung) => this.advance(trial, rung),
      record: ({ rung, trial, steps, loss }) => {
        const line: TrialLine = { rung, trial, steps, loss, data: this.data as string };
        return appendText(this.folder.file('trials.jsonl'), `${JSON.stringify(line)}\n`);
      },
    });
    return this.result(outcome);
  }

  /** What an earlier process recorded; a line that a kill cut short is measured again. */
  private async known(): Promise<TrialLine[]> {
    const file = this.folder.file('trials.jsonl');
    if (!(await exists(file))) return [];
    const text = await readText(file);
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    if (whole.length < text.length) {
      await removeFile(file);
      await appendText(file, whole);
    }
    return whole
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as TrialLine);
  }

  private async advance(trial: number, rung: Rung): Promise<number | null | undefined> {
    const { options, config } = this;
    if (options.signal?.aborted === true) return undefined;
    const run = new RunFolder(this.folder.file(trialFolder(trial)));
    const { training, model } = settingsOf(options.preset, config.trials[trial] as TrialValues);
    const { largest } = config.plan;
    try {
      const { early, validationLoss } = await trainText({
        preset: options.preset,
        data: options.data,
        out: run.path,
        backend: options.backend,
        training: {
          ...training,
          ...{ steps: largest, seed: options.seed, evaluateEvery: largest, sampleEvery: 0, patience: 0 },
        },
        model,
        validation: config.validation,
        ...(options.field === undefined ? {} : { field: options.field }),
        shared: {
          folder: this.folder.file('data'),
          ...(this.tokenizer === undefined ? {} : { tokenizer: this.tokenizer }),
        },
        resume: await run.exists(),
        until: rung.steps,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
        report: (progress) => options.report?.(trial, config.rungs.indexOf(rung), progress),
        provenance: { ...config.provenance, data: options.data, trial },
      });
      await this.learn(run);
      return early === 'signal' ? undefined : validationLoss;
    } catch (thrown) {
      if (!InkstoneError.is(thrown) || thrown.kind !== 'diverged') throw thrown;
      await this.learn(run);
      return null;
    }
  }

  /** All trials have one text and one tokenizer. @throws InkstoneError `data_differs` */
  private async learn(run: RunFolder): Promise<void> {
    const { data } = (await run.readJson<TextRunConfig>('config.json')) as TextRunConfig;
    this.data ??= data.fingerprint;
    if (this.data !== data.fingerprint)
      throw new InkstoneError(
        'data_differs',
        `${this.options.data} is not the data this search was started with`,
        { kind: 'conflict', hint: 'give the same data, or start a new search' },
      );
    if (this.tokenizer !== undefined) return;
    this.tokenizer = readTokenizer(await readText(run.file('tokenizer.json')));
    await this.folder.writeJson('tokenizer.json', JSON.parse(this.tokenizer.toJson()));
  }

  private result({ state, results, best }: HalvingOutcome): SearchResult {
    const { rungs, trials, plan } = this.config;
    const reports = trials.map((values, trial): TrialReport => {
      const own = results.filter((one) => one.trial === trial);
      const last = own.at(-1);
      const reached = last?.rung === rungs.length - 1;
      const dropped = results.some(({ rung }) => rung > (last?.rung ?? 0));
      return {
        trial,
        values,
        losses: own.map(({ loss }) => loss),
        steps: last?.steps ?? 0,
        state:
          last?.loss === null
            ? 'diverged'
            : last !== undefined && reached
              ? 'kept'
              : last !== undefined && dropped
                ? 'dropped'
                : 'open',
      };
    });
    return {
      state,
      unit: 'nats per character',
      data_fingerprint: this.data ?? null,
      rungs,
      best:
        best === undefined
          ? null
          : {
              trial: best.trial,
              loss: best.loss as number,
              values: trials[best.trial] as TrialValues,
              folder: trialFolder(best.trial),
            },
      trials: reports,
      steps: reports.reduce((sum, one) => sum + one.steps, 0),
      full_steps: trials.length * plan.largest,
    };
  }
}
