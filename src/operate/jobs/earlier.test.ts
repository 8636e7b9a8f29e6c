/** Rows of an earlier Inkstone: what had ended is told as before, what had not goes on, each once. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { openFileStore } from '../../store/index.ts';
import { PromptJobs } from '../prompt-jobs.ts';
import { Trainings } from '../trainings.ts';
import { adoptEarlier } from './earlier.ts';
import { Jobs } from './jobs.ts';

it('trainings and comparisons become jobs under their ids', async () => {
  const home = await mkdtemp(path.join(tmpdir(), 'inkstone-earlier-'));
  const store = await openFileStore(path.join(home, 'store'));
  const training = (id: string, more: object) =>
    store.rows.put('trainings', {
      ...{ id, name: id, file: '/a', preset: 'tiny', created: 5, folder: path.join(home, 'runs', id) },
      ...more,
    });
  await training('done', { state: 'succeeded', steps: 3 });
  await training('failed', { state: 'failed', error: { code: 'loss_not_finite', message: 'no' } });
  await training('under', { state: 'running', pid: 3, lost: { times: 1, step: 2 } });
  await training('rests', { state: 'queued', paused: true });
  await training('elsewhere', { state: 'running', folder: '/other/runs/elsewhere' });
  const order = { model: 'm', folder: '/m', prompts: ['a@1'], file: path.join(home, 'files', 'q') };
  await store.rows.put('prompt-evaluations', { id: 'prompts-1', order, state: 'cancelled', created: 6 });
  for (let time = 0; time < 2; time++) await adoptEarlier(store, home, 'here');
  const jobs = new Jobs({ store });
  await jobs.close();
  const trainings = new Trainings({ home, place: 'here', jobs });
  expect(await trainings.get('done')).toMatchObject({
    state: 'succeeded',
    steps: 3,
    created: 5,
    progress: 1,
  });
  expect(await trainings.get('failed')).toMatchObject({
    state: 'failed',
    error: { code: 'loss_not_finite' },
  });
  expect(await trainings.get('under')).toMatchObject({ state: 'queued', preset: 'tiny' });
  expect(await jobs.get('under')).toMatchObject({
    input: { place: 'here', name: 'under' },
    fence: 0,
    step: {},
  });
  expect((await jobs.get('under')).input).not.toHaveProperty('pid');
  expect(await jobs.get('rests')).toMatchObject({ state: 'queued', paused: true });
  await expect(trainings.get('elsewhere')).rejects.toMatchObject({ code: 'training_missing' });
  expect((await store.rows.list('trainings')).map(({ id }) => id)).toEqual(['elsewhere']);
  const prompts = new PromptJobs({ home, place: 'here', jobs });
  expect(await prompts.list()).toMatchObject([
    { id: 'prompts-1', state: 'cancelled', model: 'm', created: 6 },
  ]);
  await rm(home, { recursive: true, force: true });
});
