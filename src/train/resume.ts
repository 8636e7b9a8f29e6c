/** What a run that is gone on with must have in common with the one before. Knows no family. */
import { InkstoneError } from '../base/errors.ts';
import type { TrainingConfig } from '../nn/training-config.ts';
import type { RunFolder } from './run-folder.ts';

interface RunFile {
  training: TrainingConfig;
  model: object;
  data: { fingerprint: string };
}

export interface RunSettings {
  data: string;
  fingerprint: string;
  training: TrainingConfig;
  model: object;
}

/** Names of what `after` has otherwise than `before`. */
export function differing(before: object, after: object): string[] {
  const old = before as Record<string, unknown>;
  return Object.entries(after)
    .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(old[name]))
    .map(([name]) => name);
}

/**
 * Whether the run in a folder is gone on with; under the folder's lock.
 * @throws InkstoneError `run_exists`, `data_differs`, `config_differs`
 */
export async function goesOn(
  folder: RunFolder,
  options: { resume?: boolean; force?: boolean },
  { data, fingerprint, training, model }: RunSettings,
): Promise<boolean> {
  const before = await folder.readJson<RunFile>('config.json');
  if (before === undefined) return false;
  if (options.resume !== true) {
    if (options.force === true) return false;
    throw new InkstoneError('run_exists', `${folder.path} holds a run already`, {
      kind: 'conflict',
      hint: 'go on with it (--resume), replace it (--force), or choose another --out',
    });
  }
  if (before.data.fingerprint !== fingerprint)
    throw new InkstoneError('data_differs', `${data} is not the data this run was started with`, {
      kind: 'conflict',
      hint: 'give the same data, or start a new run',
    });
  const fields = [...differing(before.model, model), ...differing(before.training, training)];
  if (fields.length > 0)
    throw new InkstoneError(
      'config_differs',
      `the run was started with other settings (${fields.join(', ')})`,
      {
        kind: 'conflict',
        hint: 'resume with the settings it was started with, or start a new run with --out',
        details: { fields },
      },
    );
  return true;
}
