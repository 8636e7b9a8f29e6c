/** A feature network of one's own: learns, is judged on pictures kept apart, names the scores that are computed on it. */
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { prepareImages } from '../../data/image/prepare.ts';
import { readSafetensors } from '../../formats/safetensors.ts';
import { createBackend } from '../../runtime/index.ts';
import { trainFeatures } from '../../train/features-run.ts';
import { runMain } from '../testing.ts';

let folder: string;
let data: string;
const at = (name: string): string => path.join(folder, name);

/** Red squares on the left, green ones on the right, of many heights. */
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-features-'));
  data = at('data');
  for (const [name, left, channel] of [
    ['left', 1, 0],
    ['right', 9, 1],
  ] as const) {
    await fs.mkdir(path.join(data, name), { recursive: true });
    for (let i = 0; i < 40; i++) {
      const pixels = Buffer.alloc(16 * 16 * 3, 20 + (i % 7));
      for (let y = 2; y < 6 + (i % 9); y++)
        for (let x = left; x < left + 5; x++) pixels[(y * 16 + x) * 3 + channel] = 130 + 3 * i;
      await sharp(pixels, { raw: { width: 16, height: 16, channels: 3 } })
        .png()
        .toFile(path.join(data, name, `${i}.png`));
    }
  }
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

const learn = (out: string, more: Readonly<Record<string, string>> = {}, ...flags: string[]) => {
  const words = { '--data': data, '--size': '16', '--out': out, ...more };
  return runMain(['train', 'features', '--colour', '--json', ...Object.entries(words).flat(), ...flags]);
};

describe('train features', () => {
  test('tells the classes of pictures kept apart, and its features score a model under its name', async () => {
    const { status, json, error } = await learn(at('net'), { '--steps': '40' });
    expect(status, error.message).toBe(0);
    expect(json).toMatchObject({
      state: 'succeeded',
      classes: ['left', 'right'],
      pictures: 72,
      kept_apart: 8,
    });
    expect(json.accuracy).toBe(1);
    expect(json.features).toMatch(/^lenet_[0-9a-f]{8}$/);
    const { metadata } = readSafetensors(await fs.readFile(json.file as string));
    expect(metadata).toMatchObject({ name: json.features, size: '16' });
    const scored = await runMain([
      ...['train', 'image', '--preset', 'tiny-gan', '--data', data, '--size', '16', '--colour'],
      ...['--features', at('net'), '--out', at('model'), '--steps', '4', '--samples', '50', '--json'],
      ...['--evaluate-every', '4', '--sample-every', '0', '--neighbours', '0'],
    ]);
    expect(scored.status, scored.error.message).toBe(0);
    expect(scored.json[`fid_${json.features as string}`]).toBeGreaterThan(0);
    // Known layers give a distance between pictures, too.
    expect(scored.json[`diversity_${json.features as string}`]).toBeGreaterThan(0);
  });

  test('stopped and gone on with it has the same bytes as one never stopped', async () => {
    const set = await prepareImages(data, { folder: at('prepared'), size: 16, channels: 3, fit: 'contain' });
    const backend = await createBackend('cpu', { threads: 1, inline: true });
    const stop = new AbortController();
    const options = { data: set, name: data, backend, training: { steps: 20, seed: 1 } };
    const whole = await trainFeatures({ ...options, out: at('whole') });
    const stopped = await trainFeatures({
      ...{ ...options, out: at('stopped'), signal: stop.signal },
      report: ({ step }) => (step >= 7 ? stop.abort() : undefined),
    });
    expect(stopped).toMatchObject({ state: 'stopped', file: undefined, accuracy: undefined });
    const { features } = await trainFeatures({ ...options, out: at('stopped'), resume: true });
    expect(features).toMatch(/^lenet_/);
    expect(features).toBe(whole.features);
    await set.close();
    await backend.close();
  });

  test('starts from another network, whose classes may be others', async () => {
    await fs.cp(data, at('three'), { recursive: true });
    await fs.cp(path.join(data, 'left'), path.join(at('three'), 'middle'), { recursive: true });
    const other = await learn(at('other'), {
      ...{ '--data': at('three'), '--from': at('whole'), '--steps': '2' },
    });
    expect(other.status, other.error.message).toBe(0);
    const first = async (run: string): Promise<number> => {
      const { tensors } = readSafetensors(await fs.readFile(path.join(at(run), 'features.safetensors')));
      return tensors['conv1.weight']?.data[0] as number;
    };
    // Two careful steps from where the other ended, not from new values.
    expect(Math.abs((await first('other')) - (await first('whole')))).toBeLessThan(0.01);
  });

  test.each([
    ['a run that is there', () => ({ '--steps': '20' }), [], 5, 'run_exists'],
    ['other settings', () => ({ '--steps': '30' }), ['--resume'], 5, 'config_differs'],
    [
      'pictures of one class',
      () => ({ '--data': path.join(data, 'left'), '--out': at('x') }),
      [],
      3,
      'labels_missing',
    ],
  ] as const)('refuses %s', async (_, words, flags, status, code) => {
    const result = await learn(at('whole'), words(), ...flags);
    expect(result.error.code).toBe(code);
    expect(result.status).toBe(status);
  });

  test('a network of another size is refused by name, and what to do', async () => {
    const result = await runMain([
      ...['train', 'image', '--preset', 'tiny-gan', '--data', data, '--size', '32', '--colour'],
      ...['--features', at('whole'), '--out', at('y'), '--steps', '2', '--json'],
    ]);
    expect(result.error.code).toBe('features_differ');
    expect(result.error.hint).toContain('inkstone train features');
  });
});
