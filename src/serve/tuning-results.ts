/** What a tuning job leaves beside its model: its losses, step by step, as a file. Knows runs and files, no routes. */
import type { Row } from '../base/contracts/store.ts';
import type { Training } from '../operate/trainings.ts';
import type { ServerContext } from './context.ts';
import { keepFile } from './file-routes.ts';

interface ResultRow extends Row {
  file: string;
}

const COLLECTION = 'tuning-results';
type Services = Pick<ServerContext, 'home' | 'store' | 'trainings' | 'owners'>;

/** `step,train_loss,valid_loss`, empty where a step has none. */
export async function keepResults(services: Services, row: Training): Promise<void> {
  const rows = new Map<number, { train?: number; valid?: number }>();
  for (const { type, step, loss, val_loss } of await services.trainings.metrics(row)) {
    if (type === 'train' && loss !== undefined) rows.set(step, { ...rows.get(step), train: loss });
    if (type === 'evaluate' && val_loss !== undefined) rows.set(step, { ...rows.get(step), valid: val_loss });
  }
  const lines = [...rows]
    .sort(([a], [b]) => a - b)
    .map(([step, { train, valid }]) => `${step},${train ?? ''},${valid ?? ''}`);
  const bytes = Buffer.from(`${['step,train_loss,valid_loss', ...lines].join('\n')}\n`);
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield bytes;
  }
  // Its name comes from the job, so that a second go replaces the first.
  const file = `file-${row.id}-metrics`;
  await services.owners.set(file, row.owner);
  await keepFile(services, {
    ...{
      id: file,
      name: 'step_metrics.csv',
      pieces: pieces(),
      length: bytes.length,
      purpose: 'fine-tune-results',
    },
  });
  await services.store.rows.put<ResultRow>(COLLECTION, { id: row.id, file });
}

/** Ids of files. */
export async function resultsOf({ store }: Pick<Services, 'store'>, job: string): Promise<string[]> {
  const row = await store.rows.get<ResultRow>(COLLECTION, job);
  return row === undefined ? [] : [row.file];
}
