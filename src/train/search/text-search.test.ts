/** Real searches: rungs go on from checkpoints; killed at any moment and resumed, the result is the same bytes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packageFolder } from '../../base/host.ts';
import { textPreset } from '../../models/text/presets.ts';
import { createBackend } from '../../runtime/index.ts';
import { trainText } from '../text-run.ts';

let folder: string;
let data: string;
let space: string;

function search(out: string, ...extra: string[]): ChildProcess {
  const flags = ['--preset', 'tiny', '--data', data, '--space', space, '--trials', '4', '--steps', '24'];
  const command = path.join(packageFolder, 'bin', 'inkstone.mjs');
  const all = ['search', 'text', '--out', out, '--eta', '2', '--smallest', '6', '--threads', '1', '--json'];
  return spawn(
    process.execPath,
    [command, ...all, ...(extra.includes('--alone') ? ['--resume'] : [...flags, ...extra])],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
}

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

const read = (...parts: string[]): Promise<string> => fs.readFile(path.join(folder, ...parts), 'utf8');

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-search-'));
  data = path.join(folder, 'data.txt');
  space = path.join(folder, 'space.json');
  await fs.writeFile(
    data,
    Array.from({ length: 200 }, (_, i) => `${i} times ${i % 7} is ${i * (i % 7)}.\n`).join(''),
  );
  await fs.writeFile(
    space,
    JSON.stringify({
      learningRate: { type: 'log-uniform', low: 1e-4, high: 3e-2 },
      width: { type: 'choice', values: [16, 32] },
    }),
  );
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

describe('a search', { timeout: 300_000 }, () => {
  test('halves, goes on from checkpoints, and its best is a model like any other', async () => {
    const { status, json } = await ended(search(path.join(folder, 'whole')));
    expect(status).toBe(0);
    expect(json).toMatchObject({
      state: 'succeeded',
      unit: 'nats per character',
      rungs: [
        { steps: 6, trials: 4 },
        { steps: 12, trials: 2 },
        { steps: 24, trials: 1 },
      ],
      steps: 4 * 6 + 2 * 6 + 12,
      full_steps: 4 * 24,
    });
    const trials = json.trials as { losses: number[]; state: string; steps: number; values: object }[];
    expect(trials.map(({ losses }) => losses.length).sort()).toEqual([1, 1, 2, 3]);
    expect(trials.filter(({ state }) => state === 'dropped')).toHaveLength(3);
    const best = json.best as {
      trial: number;
      loss: number;
      values: { learningRate: number; width: number };
      folder: string;
    };
    expect(trials[best.trial]).toMatchObject({ state: 'kept', steps: 24, values: best.values });
    // The same settings in one go: its pauses changed nothing.
    const backend = await createBackend('cpu', { threads: 1 });
    const alone = await trainText({
      preset: textPreset('tiny'),
      ...{ data, out: path.join(folder, 'alone'), backend },
      training: { learningRate: best.values.learningRate, steps: 24, evaluateEvery: 24, sampleEvery: 0 },
      model: { width: best.values.width },
    });
    await backend.close();
    expect(best.loss).toBe(alone.validationLoss);
    const last = (run: string): Promise<Buffer> =>
      fs.readFile(path.join(folder, run, 'checkpoints', 'last.safetensors'));
    const [parts, whole] = await Promise.all([last(`whole/${best.folder}`), last('alone')]);
    // Metadata differ in what was judged on the way; the tensors do not.
    expect(parts.subarray(-64_000).equals(whole.subarray(-64_000))).toBe(true);
  });

  test('kill -9 at several moments, then --resume: the same result', async () => {
    const out = path.join(folder, 'killed');
    const places: number[] = [];
    for (let kill = 0; kill < 2; kill++) {
      const child = search(out, ...(kill === 0 ? [] : ['--resume']));
      const finished = ended(child);
      const place = 1 + kill * 3;
      places.push(place);
      for (;;) {
        const text = await read('killed', 'trials.jsonl').catch(() => '');
        if (text.split('\n').length > place || child.exitCode !== null) break;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 150));
      child.kill('SIGKILL');
      expect(['SIGKILL', 0], `kills after ${places} results`).toContain((await finished).status);
    }
    // A line that the kill cut short.
    await fs.appendFile(path.join(out, 'trials.jsonl'), '{"rung":0,"tri');
    const { status, json } = await ended(search(out, '--alone'));
    expect(status, `kills after ${places} results`).toBe(0);
    expect(json.state).toBe('succeeded');
    expect(await read('killed', 'result.json')).toBe(await read('whole', 'result.json'));
    expect(await read('killed', 'trials.jsonl')).toBe(await read('whole', 'trials.jsonl'));
  });

  test('what cannot go on is refused', async () => {
    const again = await ended(search(path.join(folder, 'whole')));
    expect(again.json.error).toMatchObject({ code: 'search_exists' });
    const other = await ended(search(path.join(folder, 'whole'), '--resume', '--seed', '9'));
    expect(other.json.error).toMatchObject({ code: 'config_differs' });
    const none = await ended(search(path.join(folder, 'none'), '--resume'));
    expect(none.json.error).toMatchObject({ code: 'search_missing' });
    await expect(fs.access(path.join(folder, 'none'))).rejects.toThrow();
    await fs.writeFile(path.join(folder, 'bad.json'), '{"width":');
    const bad = await ended(search(path.join(folder, 'bad'), '--force', '--field', 'x', '--validation', '2'));
    expect(bad.json.error).toMatchObject({ code: 'invalid_input' });
  });
});
