/** Choices are measured once, kept on the machine and with the run, and a run that goes on keeps to its own. */
import { promises as fs } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { makeTemporaryFolder, removeFile } from '../../base/host.ts';
import { readOnnx } from '../../formats/onnx.ts';
import * as P from '../../program/index.ts';
import { Tuner } from './tuner.ts';

let folder = '';
beforeEach(async () => {
  folder = await makeTemporaryFolder('tuner');
  vi.stubEnv('INKSTONE_HOME', `${folder}/home`);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await removeFile(folder);
});

/** Large enough to be measured, or not. */
function programOfSize(side: number): P.Program {
  const types = {
    x: { dtype: 'f32' as const, shape: [16, 16, side, side] },
    w: { dtype: 'f32' as const, shape: [16, 16, 3, 3] },
  };
  return P.trace('layer', types, ({ x, w }) => ({ y: P.conv(x as P.Tensor, w as P.Tensor, { padding: 1 }) }));
}
const large = programOfSize(16);

/** Says how long each way took, and counts how often it was asked. */
function clock(times: readonly number[]) {
  const seen = { asked: 0 };
  const measure = ({ models }: { models: Uint8Array[] }): Promise<number[]> => {
    seen.asked += 1;
    expect(models).toHaveLength(times.length);
    return Promise.resolve([...times]);
  };
  return { seen, measure };
}
const options = (file?: string) => ({ blocks: 16, threads: 2, runtime: '1', file });
const isBlocked = (bytes: Uint8Array): boolean =>
  readOnnx(bytes).graph.nodes.some(({ domain }) => domain === 'com.microsoft.nchwc');

describe('the tuner', () => {
  it('takes what was quicker, once on a machine', async () => {
    const { seen, measure } = clock([1, 2]);
    const tuner = new Tuner(options(), measure);
    expect(isBlocked(await tuner.lower(large, {}))).toBe(false);
    expect(isBlocked(await tuner.lower(large, {}))).toBe(false);
    expect(isBlocked(await new Tuner(options(), measure).lower(large, {}))).toBe(false);
    expect(seen.asked).toBe(1);
    // Another number of threads is another machine.
    await new Tuner({ ...options(), threads: 1 }, measure).lower(large, {});
    expect(seen.asked).toBe(2);
  });

  it('keeps to the usual way where another saves next to nothing', async () => {
    const { measure } = clock([0.95, 1]);
    expect(isBlocked(await new Tuner(options(), measure).lower(large, {}))).toBe(true);
  });

  it('measures nothing small', async () => {
    const { seen, measure } = clock([1, 2]);
    expect(isBlocked(await new Tuner(options(), measure).lower(programOfSize(3), {}))).toBe(true);
    expect(seen.asked).toBe(0);
  });

  it('a run keeps to its own choices, whatever the machine has found out since', async () => {
    const file = `${folder}/run/convolutions.json`;
    const first = clock([1, 2]);
    expect(isBlocked(await new Tuner(options(file), first.measure).lower(large, {}))).toBe(false);
    await removeFile(`${folder}/home`);
    const later = clock([2, 1]);
    expect(isBlocked(await new Tuner(options(file), later.measure).lower(large, {}))).toBe(false);
    expect(later.seen.asked).toBe(0);
    expect(isBlocked(await new Tuner(options(), later.measure).lower(large, {}))).toBe(true);
  });

  it('a run keeps what was not measured, too', async () => {
    const file = `${folder}/run/convolutions.json`;
    await new Tuner(options(file), clock([]).measure).lower(programOfSize(3), {});
    expect(Object.values(JSON.parse(await fs.readFile(file, 'utf8')))).toEqual(['blocks']);
  });

  it.each(['', '{', '[]', '{"conv": 3}'])('measures again where the file is no choices: %j', async (text) => {
    const file = `${folder}/convolutions.json`;
    await fs.writeFile(file, text);
    const { seen, measure } = clock([1, 2]);
    expect(isBlocked(await new Tuner(options(file), measure).lower(large, {}))).toBe(false);
    expect(seen.asked).toBe(1);
  });
});
