/**
 * Which of several trainings is the best: by the validation loss that each recorded, and only where the losses mean the
 * same. Knows run folders; scores nothing itself.
 */
import path from 'node:path';
import { InkstoneError } from '../base/errors.ts';
import { exists, listFiles } from '../base/host.ts';
import { RunFolder } from '../train/run-folder.ts';
import type { TextRunConfig } from '../train/text-run.ts';

export interface Candidate {
  folder: string;
  preset: string;
  parameters: number;
  /** The best checkpoint's validation loss, nats per character, and its step. */
  loss: number;
  step: number;
}

export interface Selection {
  chosen: Candidate;
  /** The best first. */
  candidates: Candidate[];
  /** SHA-256 of the text that all were trained and judged on. */
  data_fingerprint: string;
  validation: number;
}

/** Runs, and for the folder of a search all its trials. */
async function foldersOf(given: readonly string[]): Promise<string[]> {
  const all: string[] = [];
  for (const folder of given) {
    const trials = path.join(folder, 'trials');
    if (!(await exists(path.join(folder, 'search.json')))) all.push(folder);
    else for (const name of await listFiles(trials)) all.push(path.join(trials, name));
  }
  return [...new Set(all.map((folder) => path.normalize(folder)))];
}

/** @throws InkstoneError `run_missing`, `run_unjudged`, `runs_differ` */
export async function selectRun(given: readonly string[]): Promise<Selection> {
  const found: { candidate: Candidate; data: TextRunConfig['data'] }[] = [];
  for (const folder of await foldersOf(given)) {
    const run = new RunFolder(folder);
    const config = await run.readJson<TextRunConfig>('config.json');
    if (config?.training === undefined)
      throw new InkstoneError('run_missing', `there is no run in ${folder}`, {
        kind: 'missing',
        hint: 'name the folders of trainings, or of a search',
      });
    const best = await run.readCheckpoint('best');
    if (best?.record.bestLoss === undefined)
      throw new InkstoneError('run_unjudged', `${folder} has no checkpoint that was judged`, {
        kind: 'conflict',
        hint: 'let it run until its first evaluation, or leave it out',
      });
    const { preset, parameters, data } = config;
    found.push({
      data,
      candidate: { folder, preset, parameters, loss: best.record.bestLoss, step: best.step },
    });
  }
  const [first] = found;
  if (first === undefined)
    throw new InkstoneError('run_missing', 'there are no runs to choose from', { kind: 'missing' });
  for (const { candidate, data } of found)
    if (data.fingerprint !== first.data.fingerprint || data.validation !== first.data.validation)
      throw new InkstoneError(
        'runs_differ',
        `${candidate.folder} was judged on other text than ${first.candidate.folder}`,
        {
          kind: 'conflict',
          hint: 'losses on different texts cannot be compared: choose among runs of one data set',
        },
      );
  const candidates = found
    .map(({ candidate }) => candidate)
    .sort((a, b) => a.loss - b.loss || (a.folder < b.folder ? -1 : 1));
  const { fingerprint, validation } = first.data;
  return { chosen: candidates[0] as Candidate, candidates, data_fingerprint: fingerprint, validation };
}
