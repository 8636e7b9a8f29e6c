/** The examples, run as a reader runs them: they end well, say what they promise, and stay short. */
import { execFile } from 'node:child_process';
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { InferenceSession } from 'onnxruntime-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exists, packageFolder } from '../src/base/host.ts';

const FIRST = 'examples/01-train-a-gpt.ts';
const SECOND = 'examples/02-compare-prompts.ts';
const starter = await exists(path.join(packageFolder, 'models', 'starter', 'model.safetensors'));

let folder: string;
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-examples-'));
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

/** Rejects with what was said where the status is not 0. All that is made lands in the test's own folder. */
async function run(...words: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ['tools/run.mjs', ...words], {
    cwd: packageFolder,
    env: { ...process.env, TMPDIR: folder, TEMP: folder, INKSTONE_HOME: path.join(folder, 'home') },
  });
  return stdout;
}

test('a GPT is trained on a text of one’s own, writes, and leaves a file that ONNX Runtime opens', async () => {
  const text = path.join(folder, 'own.txt');
  await fs.writeFile(text, 'Two herons stand in the shallow water and wait for the tide.\n'.repeat(150));
  const lines = (await run(FIRST, text)).trimEnd().split('\n');
  const [, parameters, loss] =
    /^(\d+) parameters, (\d\.\d{3}) nats per character$/.exec(lines[0] ?? '') ?? [];
  expect(Number(parameters)).toBeGreaterThan(100_000);
  // One sentence again and again: 150 steps know it nearly by heart.
  expect(Number(loss)).toBeLessThan(0.5);
  expect(lines[1]).toMatch(/^Two heron./);
  const exported = /^exported (.+gpt\.onnx)$/.exec(lines.at(-1) ?? '')?.[1] as string;
  expect(exported.startsWith(folder)).toBe(true);
  const session = await InferenceSession.create(exported, { logSeverityLevel: 4 });
  expect([session.inputNames, session.outputNames]).toEqual([['tokens'], ['logits']]);
  await session.release();
});

test.skipIf(!starter)('two prompts are compared by the starter (needs models/starter)', async () => {
  const out = await run(SECOND);
  // The two nearest examples, then the beginning; an argument that is missing is refused.
  expect(out).toMatch(/^They walked along the road\.\n\nShe shut the door\.\n\nShe opened the\n/);
  expect(out).toMatch(/^refused: .*beginning/m);
  expect(out).toMatch(/^bare: [\d.]+ right \(95 % from \d\.\d\d to \d\.\d\d\)$/m);
  expect(out).toMatch(/^with examples: [\d.]+ right \(95 % from .*\), p \d\.\d\d against bare$/m);
});

test.each([FIRST, SECOND])('%s is read in a minute: sixty lines at most', async (file) => {
  const text = await fs.readFile(path.join(packageFolder, file), 'utf8');
  expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(60);
});
