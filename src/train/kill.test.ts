/** Real processes: killed at any moment or interrupted, a resumed run ends with the bytes of one never stopped. */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packageFolder } from '../base/host.ts';

let folder: string;
let data: string;
let whole: string;

const flags = [
  '--preset',
  'tiny',
  '--evaluate-every',
  '20',
  '--checkpoint-every',
  '7',
  '--sample-every',
  '40',
  '--threads',
  '1',
  '--json',
];

const start = (out: string, ...extra: string[]): ChildProcess => startFor(120, out, ...extra);

function startFor(steps: number, out: string, ...extra: string[]): ChildProcess {
  const command = path.join(packageFolder, 'bin', 'inkstone.mjs');
  return spawn(
    process.execPath,
    [command, 'train', 'text', '--data', data, '--out', out, '--steps', `${steps}`, ...flags, ...extra],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
}

/** Exit status (or signal) and the last line of standard output. */
function ended(
  child: ChildProcess,
): Promise<{ status: number | string | null; json: Record<string, unknown> }> {
  let out = '';
  child.stdout?.on('data', (piece) => {
    out += String(piece);
  });
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      const last = out.trimEnd().split('\n').at(-1) ?? '';
      resolve({ status: signal ?? code, json: last === '' ? {} : JSON.parse(last) });
    });
  });
}

/** Resolves when the metrics of a run have so many lines: the kill falls somewhere after. */
async function lines(out: string, count: number): Promise<void> {
  for (;;) {
    const text = await fs.readFile(path.join(out, 'metrics.jsonl'), 'utf8').catch(() => '');
    if (text.split('\n').length > count) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function result(out: string): Promise<{ last: Buffer; best: Buffer; metrics: unknown[] }> {
  const [last, best] = await Promise.all(
    ['last', 'best'].map((name) => fs.readFile(path.join(out, 'checkpoints', `${name}.safetensors`))),
  );
  const text = await fs.readFile(path.join(out, 'metrics.jsonl'), 'utf8');
  const metrics = text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { seconds, tokens_per_second, remaining, ...rest } = JSON.parse(line);
      return rest;
    });
  return { last: last as Buffer, best: best as Buffer, metrics };
}

async function expectSame(out: string, other: string): Promise<void> {
  const [a, b] = await Promise.all([result(out), result(other)]);
  expect(a.metrics).toEqual(b.metrics);
  expect(a.last.equals(b.last)).toBe(true);
  expect(a.best.equals(b.best)).toBe(true);
}

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-kill-'));
  data = path.join(folder, 'data.txt');
  await fs.writeFile(
    data,
    Array.from({ length: 300 }, (_, i) => `${i} times ${i % 7} is ${i * (i % 7)}.\n`).join(''),
  );
  whole = path.join(folder, 'whole');
  expect((await ended(start(whole))).status).toBe(0);
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

// Real trainings: on a machine that is busy with other work they take their time.
describe('a training process', { timeout: 300_000 }, () => {
  test('the same seed gives the same bytes, another seed others', async () => {
    const [again, other] = [path.join(folder, 'again'), path.join(folder, 'other')];
    expect((await ended(start(again))).status).toBe(0);
    await expectSame(again, whole);
    expect((await ended(start(other, '--seed', '2'))).status).toBe(0);
    expect((await result(other)).last.equals((await result(whole)).last)).toBe(false);
  });

  test('kill -9 at several moments, then --resume: the same bytes and metrics', async () => {
    const out = path.join(folder, 'killed');
    // Fractions of a run that are drawn anew each time; a failure prints where the kills fell.
    const places: number[] = [];
    for (let kill = 0; kill < 5; kill++) {
      const begun = await fs.access(path.join(out, 'config.json')).then(
        () => true,
        () => false,
      );
      const child = start(out, ...(begun ? ['--resume'] : []));
      const finished = ended(child);
      const place = 1 + kill * 4 + Math.floor(Math.random() * 3);
      places.push(place);
      await Promise.race([lines(out, place), finished]);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
      child.kill('SIGKILL');
      expect(['SIGKILL', 0], `kill ${kill} after ${places} lines`).toContain((await finished).status);
    }
    const { status, json } = await ended(start(out, '--resume'));
    expect(status, `kills after ${places} lines`).toBe(0);
    expect(json.state).toBe('succeeded');
    await expectSame(out, whole);
    // Half-written checkpoints of the killed processes are gone, too.
    expect((await fs.readdir(path.join(out, 'checkpoints'))).sort()).toEqual([
      'best.safetensors',
      'last.safetensors',
    ]);
    expect(await fs.readdir(out)).not.toContain('lock');
  });

  test.each(['SIGINT', 'SIGTERM'] as const)(
    '%s ends after the step, keeps a checkpoint, and can be resumed',
    async (signal) => {
      const out = path.join(folder, signal);
      const child = start(out);
      const finished = ended(child);
      await Promise.race([lines(out, 1), finished]);
      child.kill(signal);
      const { status, json } = await finished;
      expect(status).toBe(signal === 'SIGINT' ? 130 : 143);
      expect(json).toMatchObject({ state: 'stopped', out });
      expect(Number(json.steps)).toBeLessThan(120);
      await expect(fs.access(path.join(out, 'lock'))).rejects.toThrow();
      expect((await ended(start(out, '--resume'))).status).toBe(0);
      await expectSame(out, whole);
    },
  );

  test('of many processes that find a dead one’s lock, one gets it', async () => {
    const module = pathToFileURL(path.join(packageFolder, 'dist/train/run-lock.js')).href;
    const script = path.join(folder, 'racer.mjs');
    await fs.writeFile(
      script,
      `const { lockRun } = await import(${JSON.stringify(module)});
       process.on('message', (folder) => lockRun(folder).then(() => process.send('won'), (e) => process.send(e.code)));
       process.send('ready');`,
    );
    const racers = Array.from({ length: 5 }, () => fork(script));
    const answer = (racer: ChildProcess): Promise<unknown> =>
      new Promise((resolve) => racer.once('message', resolve));
    try {
      await Promise.all(racers.map(answer));
      for (let round = 0; round < 40; round++) {
        const out = path.join(folder, `race-${round}`);
        await fs.mkdir(out);
        await fs.writeFile(path.join(out, 'lock'), '999999999');
        const answers = racers.map(answer);
        for (const racer of racers) racer.send(out);
        expect((await Promise.all(answers)).sort()).toEqual([...new Array(4).fill('run_locked'), 'won']);
      }
    } finally {
      const ends = racers.map((racer) => new Promise((resolve) => racer.once('close', resolve)));
      for (const racer of racers) racer.kill();
      await Promise.all(ends);
    }
  });

  test('two processes cannot train in one folder', async () => {
    const out = path.join(folder, 'locked');
    const child = startFor(1_000_000, out);
    const finished = ended(child);
    await Promise.race([lines(out, 1), finished]);
    // It stands still, so it cannot end before the other one has looked.
    child.kill('SIGSTOP');
    const second = await ended(start(out, '--resume'));
    child.kill('SIGKILL');
    await finished;
    expect(second.json.error).toMatchObject({ code: 'run_locked' });
    expect(second.status).toBe(5);
  });
});
