/** Keeps the layers, and shows on small made-up trees that each rule catches what it should. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import * as rules from './architecture.ts';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
/** Threads start here. */
const workers = ['src/runtime/onnxruntime/worker.ts'];

function readTree(): Map<string, string> {
  const tree = new Map<string, string>();
  for (const folder of ['src', 'test', 'tools', 'bin', 'bench', 'examples', 'runs']) {
    const at = path.join(root, folder);
    if (!fs.existsSync(at)) continue;
    for (const entry of fs.readdirSync(at, { recursive: true, withFileTypes: true })) {
      const file = path.join(entry.parentPath, entry.name);
      // Peers of benchmarks install theirs below bench/.
      if (path.relative(root, file).split(path.sep).includes('node_modules')) continue;
      if (entry.isFile() && /\.(ts|tsx|mjs|js|css)$/.test(entry.name)) {
        tree.set(path.relative(root, file).split(path.sep).join('/'), fs.readFileSync(file, 'utf8'));
      }
    }
  }
  return tree;
}

const manifest = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
const real = { workers, dependencies: Object.keys(manifest.dependencies) };
const tree = readTree();

describe('this source', () => {
  test('imports only down, never sideways', () => expect(rules.checkLayers(tree)).toEqual([]));
  test('has no circles', () => expect(rules.checkCycles(tree)).toEqual([]));
  test('has no file over 500 lines', () => expect(rules.checkLength(tree)).toEqual([]));
  test('opens each file with a comment', () => expect(rules.checkOpening(tree)).toEqual([]));
  test('leaves the host to host.ts', async () => expect(await rules.checkHost(tree, real)).toEqual([]));
  test('declares its packages', () => expect(rules.checkPackages(tree, real)).toEqual([]));
  test('shows examples through the public exports', () => expect(rules.checkExamples(tree)).toEqual([]));
  test('exports only files that are there', () => {
    const targets = Object.values(manifest.exports as Record<string, { default: string } | string>);
    const missing = targets
      .flatMap((target) => (typeof target === 'string' ? [] : [target.default]))
      .map((file) => file.replace('./dist/', 'src/').replace(/\.js$/, '.ts'))
      .filter((file) => !tree.has(file));
    expect(missing).toEqual([]);
  });
});

describe('the rules catch', () => {
  const plain = { workers: ['src/runtime/worker.ts'], dependencies: ['zod'] };
  const opening = '/** What it does. */\n';
  const small = (files: Record<string, string>, others: string[] = []): Map<string, string> =>
    new Map([
      ...Object.entries(files).map(([file, text]) => [file, opening + text] as const),
      ...others.map((file) => [file, opening] as const),
    ]);
  const find = async (files: Record<string, string>, others: string[] = []): Promise<string[]> =>
    rules.checkAll(small(files, others), plain);

  test('nothing in a clean tree', async () => {
    const clean = {
      'src/index.ts': "export * from './nn/a.ts';\n",
      'src/nn/a.ts':
        "import { b } from './b.ts';\nimport type { E } from '../base/e.ts';\nimport { z } from 'zod';\n",
      'src/runtime/worker.ts': "import { parentPort } from 'node:worker_threads';\n",
      'src/base/host.ts': "import fs from 'node:fs';\nconst a = Date.now();\nconsole.log(a, process.pid);\n",
      'src/studio/a.ts': "import type { E } from '../base/e.ts';\nconsole.log(Date.now());\n",
      'src/nn/a.test.ts':
        "import { cli } from '../cli/x.ts';\nimport fs from 'node:fs';\nthrow new Error('in a test');\n",
      'src/cli/x.ts': "const text = 'process.exit and console.log(1)'; // process.exit\n",
      'examples/01.ts': "import { x } from 'inkstone/nn';\n",
    };
    expect(await find(clean, ['src/nn/b.ts', 'src/base/e.ts'])).toEqual([]);
  });

  test.each([
    [
      'an upward import',
      { 'src/nn/a.ts': "import { g } from '../generate/g.ts';\n" },
      /upwards, from nn to generate/,
    ],
    ['an upward type import', { 'src/nn/a.ts': "import type { G } from '../generate/g.ts';\n" }, /upwards/],
    [
      'an upward re-export',
      { 'src/nn/a.ts': "export {\n  g,\n  h,\n} from '../generate/g.ts';\n" },
      /upwards/,
    ],
    [
      'an upward dynamic import',
      { 'src/nn/a.ts': "const g = await import('../generate/g.ts');\n" },
      /upwards/,
    ],
    ['an import for its effect', { 'src/nn/a.ts': "import '../generate/g.ts';\n" }, /upwards/],
    ['a sideways import', { 'src/nn/a.ts': "import { d } from '../data/d.ts';\n" }, /neighbour data/],
    ['an unknown folder', { 'src/misc/a.ts': 'export {};\n' }, /misc is no layer/],
    ['the way in from inside', { 'src/nn/a.ts': "import { g } from '../index.ts';\n" }, /way in/],
    ['a file outside', { 'src/nn/a.ts': "import { g } from '../../tools/g.ts';\n" }, /outside src/],
    ['a missing file', { 'src/nn/a.ts': "import { g } from './gone.ts';\n" }, /gone.ts is not there/],
    ['an import without its extension', { 'src/nn/a.ts': "import { g } from './b';\n" }, /is not there/],
    ['values in the studio', { 'src/studio/a.ts': "import { d } from '../base/d.ts';\n" }, /only types/],
    ['a bare Error', { 'src/nn/a.ts': "throw new Error('no');\n" }, /bare Error/],
    ['node:fs', { 'src/nn/a.ts': "import { readFileSync } from 'node:fs';\n" }, /node:fs is for/],
    ['fs/promises', { 'src/nn/a.ts': "import fs from 'fs/promises';\n" }, /fs\/promises is for/],
    [
      'worker threads elsewhere',
      { 'src/nn/a.ts': "import { Worker } from 'node:worker_threads';\n" },
      /is for/,
    ],
    ['process', { 'src/nn/a.ts': 'export const a = process.env;\n' }, /process is for/],
    ['the console', { 'src/nn/a.ts': "console.error('x');\n" }, /console is for/],
    ['the clock', { 'src/nn/a.ts': 'export const a = Date.now();\n' }, /Date.now is for/],
    ['the clock by its other name', { 'src/nn/a.ts': 'export const a = new Date();\n' }, /new Date/],
    ['performance', { 'src/nn/a.ts': 'export const a = performance.now();\n' }, /performance is for/],
    ['chance', { 'src/nn/a.ts': 'export const a = Math.random();\n' }, /Math.random is for/],
    ['an undeclared package', { 'src/nn/a.ts': "import x from 'left-pad/x';\n" }, /left-pad is not among/],
    ['a package of another folder', { 'src/nn/a.ts': "import f from 'fastify';\n" }, /belongs to src\/serve/],
    [
      'an example that looks inside',
      { 'examples/1.ts': "import { a } from '../src/nn/a.ts';\n" },
      /public exports/,
    ],
    ['a long file', { 'src/nn/a.ts': 'export {};\n'.repeat(500) }, /501 lines/],
  ])('%s', async (_name, files, expected) => {
    const others = [
      'src/generate/g.ts',
      'src/data/d.ts',
      'src/base/d.ts',
      'src/index.ts',
      'tools/g.ts',
      'src/nn/b.ts',
    ];
    const problems = await find(files as unknown as Record<string, string>, others);
    expect(problems.join('\n')).toMatch(expected);
    expect(problems.length).toBeLessThanOrEqual(2);
  });

  test('a circle of three, once', async () => {
    const circle = { 'src/nn/a.ts': './b.ts', 'src/nn/b.ts': './c.ts', 'src/nn/c.ts': './a.ts' };
    const files = Object.fromEntries(
      Object.entries(circle).map(([file, to]) => [file, `import type { X } from '${to}';\n`]),
    );
    expect(await find(files)).toEqual([
      'a circle of imports: src/nn/a.ts → src/nn/b.ts → src/nn/c.ts → src/nn/a.ts',
    ]);
  });

  test('a file without an opening comment', () => {
    expect(rules.checkOpening(new Map([['src/nn/a.ts', 'export {};\n']]))).toHaveLength(1);
  });

  test('but not a long generated file', () => {
    const text = `/** @generated */\n${'export {};\n'.repeat(600)}`;
    expect(rules.checkLength(new Map([['src/nn/a.ts', text]]))).toEqual([]);
  });
});
