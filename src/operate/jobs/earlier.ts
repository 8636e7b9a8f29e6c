/** Trainings and comparisons that an earlier Inkstone kept in rows of their own become jobs, under the ids they had. */
import path from 'node:path';
import type { Job, JobError } from '../../base/contracts/jobs.ts';
import type { Row, Store } from '../../base/contracts/store.ts';
import type { JobState } from '../../base/contracts/trainable.ts';

interface EarlierRow extends Row {
  state: JobState;
  /** Seconds since 1970. */
  created: number;
  error?: JobError;
  paused?: boolean;
  /** Of a comparison; a training has its fields in the row. */
  order?: { file: string };
  file?: string;
  folder?: string;
}

const KINDS = { trainings: 'training', 'prompt-evaluations': 'prompt-evaluation' } as const;

/** Only those of this home folder: the others wait for a server there. May be repeated. */
export async function adoptEarlier({ rows }: Store, home: string, place: string): Promise<void> {
  for (const [collection, kind] of Object.entries(KINDS))
    for (const row of await rows.list<EarlierRow>(collection)) {
      const job = jobOf(row, kind, place);
      const { file } = job.input as { file: string };
      if (!path.resolve(row.folder ?? file).startsWith(path.resolve(home))) continue;
      const to = job.ended === undefined ? 'jobs-open' : 'jobs';
      await rows.update<Job>(to, row.id, (there) => (there === undefined ? job : undefined));
      await rows.remove(collection, row.id);
    }
}

function jobOf(row: EarlierRow, kind: string, place: string): Job {
  const {
    id,
    state,
    created,
    error,
    paused,
    order,
    folder: _,
    pid: __,
    lost: ___,
    once: ____,
    ...rest
  } = row;
  const over = state !== 'queued' && state !== 'running';
  const at = created * 1000;
  return {
    ...{ id, kind, input: { ...(order ?? rest), place }, created: at, fence: 0, failures: 0 },
    state: over ? state : 'queued',
    progress: state === 'succeeded' ? 1 : 0,
    // What lies in its folder is its own.
    step: {},
    ...(over ? { ended: at } : {}),
    ...(error === undefined ? {} : { error }),
    ...(paused === true ? { paused } : {}),
  };
}
