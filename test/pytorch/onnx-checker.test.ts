/** What we export, before the checker of ONNX itself (tools/golden/check_onnx.py), where a Python has it. */
import { spawnSync } from 'node:child_process';
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packageFolder } from '../../src/base/host.ts';
import { textLogits, textParameters } from '../../src/models/text/architectures.ts';
import { presetConfig, textPreset } from '../../src/models/text/presets.ts';
import { initialise } from '../../src/nn/parameters.ts';
import { lower } from '../../src/program/index.ts';

const named = process.env.INKSTONE_PYTHON;
const python = [...(named ? [named] : []), 'python3'].find(
  (one) => spawnSync(one, ['-c', 'import onnx']).status === 0,
);

const reason = 'needs a Python with onnx, which INKSTONE_PYTHON may name';
describe.skipIf(python === undefined)(`the ONNX checker (${reason})`, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-checker-'));
  });
  afterAll(() => fs.rm(folder, { recursive: true, force: true }));

  const check = (...files: string[]) => {
    const script = path.join(packageFolder, 'tools', 'golden', 'check_onnx.py');
    const { status, stdout, stderr } = spawnSync(python as string, [script, ...files], { encoding: 'utf8' });
    return { status, out: stdout, said: stderr };
  };
  /** As `inkstone export --format onnx` writes it: standard ops, weights within. */
  function exported(id: string): Uint8Array {
    const config = presetConfig(textPreset(id), 65);
    return lower(textLogits(config), { constants: initialise(textParameters(config), 1), portable: true });
  }

  test('passes a GPT-2, a GPT-3, a PanGu-α and a Llama', async () => {
    const files: string[] = [];
    for (const id of ['tiny', 'gpt3-tiny', 'pangu-tiny', 'llama-tiny']) {
      files.push(path.join(folder, `${id}.onnx`));
      await fs.writeFile(files.at(-1) as string, exported(id));
    }
    const { status, out, said } = check(...files);
    expect(said).toBe('');
    expect(status).toBe(0);
    expect(out).toMatch(/^onnx \d+\.\d+/);
    for (const file of files) expect(out).toContain(`${file}: passed`);
  });

  test('does not pass an op that ONNX does not have', async () => {
    const bytes = Buffer.from(exported('tiny'));
    // A node's kind: field 4, six letters.
    const at = bytes.indexOf('\x22\x06MatMul');
    expect(at).toBeGreaterThan(0);
    bytes.write('MatMux', at + 2);
    const file = path.join(folder, 'unknown.onnx');
    await fs.writeFile(file, bytes);
    const { status, said } = check(file);
    expect(status).not.toBe(0);
    expect(said).toContain('MatMux');
  });
});
