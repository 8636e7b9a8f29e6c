/** The build, the lock, the set-up check and the count of tests, each on a folder of its own. */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

interface BuildTool {
  build(options: { src: string; dist: string }): Promise<{ written: number; removed: number }>;
  rewriteImports(code: string): string;
}
interface SetupTool {
  missingPackage(folder: string): string | undefined;
  setup(folder: string): Promise<boolean>;
}
const tool = async <T>(name: string): Promise<T> =>
  (await import(pathToFileURL(path.join(root, 'tools', name)).href)) as T;
const { build, rewriteImports } = await tool<BuildTool>('build.mjs');
const { missingPackage, setup } = await tool<SetupTool>('setup.mjs');
const { withLock } = await tool<{ withLock<T>(file: string, work: () => Promise<T>): Promise<T> }>(
  'lock.mjs',
);

let folder = '';
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'inkstone-tools-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const at = (...parts: string[]): string => path.join(folder, ...parts);
function write(file: string, text: string): void {
  fs.mkdirSync(path.dirname(at(file)), { recursive: true });
  fs.writeFileSync(at(file), text);
}
const read = (file: string): string => fs.readFileSync(at(file), 'utf8');

/** Runs a script in a process of its own. */
function node(script: string): Promise<{ status: number; out: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let out = '';
    child.stdout.on('data', (piece: Buffer) => {
      out += piece.toString();
    });
    child.on('close', (status) => resolve({ status: status ?? 1, out }));
  });
}

describe('build', () => {
  const options = (): { src: string; dist: string } => ({ src: at('src'), dist: at('dist') });
  const run = () => build(options());

  test('erases types, turns import endings, leaves out tests and the studio', async () => {
    write(
      'src/a.ts',
      "import type { B } from './b.ts';\nimport { b } from './b.ts';\nexport const a: B = b;\n",
    );
    write(
      'src/b.ts',
      'export interface B { x: number }\nexport const b: B = { x: 1 };\nexport const lazy = () => import("./c/c.ts");\n',
    );
    write(
      'src/c/c.ts',
      "export * from '../b.ts';\nexport { b as bee } from '../b.ts';\nexport const text = `import x from './not-code.ts'`;\n",
    );
    write('src/data.json', '{"x":1}');
    write('src/a.test.ts', 'throw 1;\n');
    write('src/studio/main.ts', 'throw 1;\n');
    expect(await run()).toEqual({ written: 4, removed: 0 });
    expect(fs.readdirSync(at('dist')).sort()).toEqual(['.build.json', 'a.js', 'b.js', 'c', 'data.json']);
    const module = await import(pathToFileURL(at('dist/a.js')).href);
    expect(module.a).toEqual({ x: 1 });
    const { lazy } = await import(pathToFileURL(at('dist/b.js')).href);
    expect(await lazy()).toMatchObject({ bee: { x: 1 }, text: "import x from './not-code.ts'" });
  });

  test('writes again only what changed, and removes what is gone', async () => {
    write('src/a.ts', 'export const a = 1;\n');
    write('src/b.ts', 'export const b = 1;\n');
    await run();
    expect(await run()).toEqual({ written: 0, removed: 0 });
    const before = fs.statSync(at('dist/b.js')).mtimeMs;
    write('src/a.ts', 'export const a = 2;\n');
    expect(await run()).toEqual({ written: 1, removed: 0 });
    expect(read('dist/a.js')).toContain('a = 2');
    expect(fs.statSync(at('dist/b.js')).mtimeMs).toBe(before);
    // A new time with the old content is no change.
    fs.utimesSync(at('src/b.ts'), new Date(), new Date(Date.now() + 5000));
    expect(await run()).toEqual({ written: 0, removed: 0 });
    fs.rmSync(at('src/a.ts'));
    expect(await run()).toEqual({ written: 0, removed: 1 });
    expect(fs.existsSync(at('dist/a.js'))).toBe(false);
    fs.rmSync(at('dist/b.js'));
    expect(await run()).toEqual({ written: 1, removed: 0 });
    fs.writeFileSync(at('dist/.build.json'), '{"half');
    expect(await run()).toEqual({ written: 1, removed: 0 });
  });

  test('names a file that does not parse, builds the others, and tries again', async () => {
    write('src/good.ts', 'export const good = 1;\n');
    write('src/bad.ts', 'export const = 1;\n');
    await expect(run()).rejects.toThrow(/src\/bad\.ts/);
    expect(fs.existsSync(at('dist/good.js'))).toBe(true);
    await expect(run()).rejects.toThrow(/src\/bad\.ts/);
    write('src/bad.ts', 'export const bad = 1;\n');
    expect(await run()).toEqual({ written: 1, removed: 0 });
  });

  test('four builds at once leave one whole result', async () => {
    for (let i = 0; i < 30; i++) write(`src/f${i}.ts`, `export const value = ${i};\n`);
    const script = `
      const { build } = await import(${JSON.stringify(pathToFileURL(path.join(root, 'tools', 'build.mjs')).href)});
      console.log((await build(${JSON.stringify(options())})).written);`;
    const runs = await Promise.all([1, 2, 3, 4].map(() => node(script)));
    expect(runs.map((one) => one.status)).toEqual([0, 0, 0, 0]);
    expect(runs.map((one) => Number(one.out)).sort((a, b) => a - b)).toEqual([0, 0, 0, 30]);
    expect(fs.readdirSync(at('dist')).filter((name) => name.endsWith('.js'))).toHaveLength(30);
    expect(fs.readdirSync(at('dist')).filter((name) => /tmp|lock/.test(name))).toEqual([]);
  });

  test('turns only import endings', () => {
    expect(rewriteImports('import { a } from "./a.ts";\nimport "../b.ts";\nexport * from "./c.ts";\n')).toBe(
      'import { a } from "./a.js";\nimport "../b.js";\nexport * from "./c.js";\n',
    );
    expect(rewriteImports('import {\n  a,\n  b\n} from "./a.ts";\n')).toContain('"./a.js"');
    for (const kept of [
      'const x = "./a.ts";\n',
      'import a from "typescript.ts";\n',
      'log("from ./a.ts");\n',
    ]) {
      expect(rewriteImports(kept)).toBe(kept);
    }
  });
});

describe('lock', () => {
  test('lets one in at a time, and the next after a failure', async () => {
    let inside = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      inside++;
      most = Math.max(most, inside);
      await new Promise((resolve) => setTimeout(resolve, 5));
      inside--;
    };
    await Promise.all([1, 2, 3, 4].map(() => withLock(at('lock'), work)));
    expect(most).toBe(1);
    await expect(withLock(at('lock'), () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(fs.existsSync(at('lock'))).toBe(false);
  });

  test('is taken over from a process that died', async () => {
    const { out } = await node('console.log(process.pid)');
    fs.writeFileSync(at('lock'), out.trim());
    expect(await withLock(at('lock'), async () => 'in')).toBe('in');
  });
});

describe('set-up', () => {
  function project(installed: Record<string, object>): void {
    const packages = {
      '': { name: 'x' },
      'node_modules/a': { version: '1.0.0' },
      'node_modules/b': { version: '2.0.0', optional: true, os: ['plan9'] },
      'node_modules/c': { version: '3.0.0', os: [`!${process.platform}`] },
    };
    write('package.json', '{"name":"x"}');
    write('package-lock.json', JSON.stringify({ packages }));
    if (Object.keys(installed).length === 0) return;
    write('node_modules/.package-lock.json', JSON.stringify({ packages: installed }));
    for (const name of Object.keys(installed)) fs.mkdirSync(at(name), { recursive: true });
  }

  test('sees what is missing, and leaves other platforms out', () => {
    project({});
    expect(missingPackage(folder)).toBe('node_modules');
    project({ 'node_modules/a': { version: '0.9.0' } });
    expect(missingPackage(folder)).toBe('node_modules/a');
    project({ 'node_modules/a': { version: '1.0.0' } });
    expect(missingPackage(folder)).toBeUndefined();
    fs.rmSync(at('node_modules/a'), { recursive: true });
    expect(missingPackage(folder)).toBe('node_modules/a');
  });

  test('runs no npm when all is there, links the command and notes it', async () => {
    project({ 'node_modules/a': { version: '1.0.0' } });
    expect(await setup(folder)).toBe(false);
    expect(fs.readlinkSync(at('node_modules/.bin/inkstone'))).toBe(
      path.join('..', '..', 'bin', 'inkstone.mjs'),
    );
    expect(fs.existsSync(at('node_modules/.inkstone-setup'))).toBe(true);
    expect(await setup(folder)).toBe(false);
    expect(fs.existsSync(at('.setup.lock'))).toBe(false);
  });

  test('says what to do when something is missing and npm cannot help', async () => {
    project({ 'node_modules/a': { version: '1.0.0' } });
    write('package.json', '{"name":"x","dependencies":{"a":"1.0.0"}}');
    expect(await setup(folder)).toBe(false);
    fs.rmSync(at('node_modules/a'), { recursive: true });
    const script = `
      process.env.PATH = ${JSON.stringify(at('no-such-folder'))};
      const { setup } = await import(${JSON.stringify(pathToFileURL(path.join(root, 'tools', 'setup.mjs')).href)});
      console.log(await setup(${JSON.stringify(folder)}).catch((error) => error.message));`;
    const { out } = await node(script);
    expect(out).toMatch(/could not be installed: npm cannot be run[\s\S]*node_modules\/a is missing/);
    expect(out).toMatch(/registry can be reached/);
  });

  test('the lock file names no registry', () => {
    const text = fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8');
    expect(text.match(/"resolved":[^\n]*/g) ?? []).toEqual([]);
    expect(text.match(/"(?:https?|git\+)[^"]*\.tgz[^"]*"/g) ?? []).toEqual([]);
  });
});

test('the files that are tested first are there, each named once', () => {
  const config = fs.readFileSync(path.join(root, 'vitest.config.ts'), 'utf8');
  const named = [...config.matchAll(/^ {2}'([^'*]+\.test\.ts)',$/gm)].map(([, file]) => file as string);
  expect(named.length).toBeGreaterThan(5);
  expect(new Set(named).size).toBe(named.length);
  expect(named.filter((file) => !fs.existsSync(path.join(root, file)))).toEqual([]);
});

describe('the count of tests', () => {
  const cases = `
    test('passes', () => {});
    test.skip('says why in brackets (needs a (very) fast disk)', () => {});
    test('says why in a note', ({ skip }) => skip('no network here'));
    describe.skip('a suite (needs a GPU)', () => { test('within', () => {}); });
    test.skip('says nothing', () => {});
    test.skip('nor here ()', () => {});
  `;
  interface Summary {
    passed: number;
    failed: number;
    skipped: number;
    skips: { name: string; why: string }[];
    unexplained: string[];
  }
  function count(...words: string[]): Summary {
    const vitest = path.join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const reporter = path.join(root, 'tools', 'test-reporter.mjs');
    spawnSync(process.execPath, [vitest, 'run', '--globals', `--reporter=${reporter}`, ...words], {
      cwd: folder,
      env: { ...process.env, INKSTONE_TEST_SUMMARY: at('summary.json') },
    });
    return JSON.parse(read('summary.json'));
  }

  test('a skip tells why, or it is a failure', () => {
    write('some.test.mjs', cases);
    const { skips, unexplained, ...totals } = count();
    expect(totals).toMatchObject({ passed: 1, failed: 2, skipped: 3 });
    expect(skips.map(({ why }) => why)).toEqual([
      'needs a (very) fast disk',
      'no network here',
      'needs a GPU',
    ]);
    expect(unexplained).toEqual(['some.test.mjs > says nothing', 'some.test.mjs > nor here ()']);
  });

  test('whoever asks for some by name does not fail by the others; a hook that fails is one failure', () => {
    write('some.test.mjs', cases);
    expect(count('-t', 'passes')).toMatchObject({ passed: 1, failed: 0, skipped: 5 });
    write('some.test.mjs', `beforeAll(() => { throw new Error('no'); });\ntest('never begun', () => {});`);
    expect(count()).toMatchObject({ passed: 0, failed: 1, unexplained: [] });
  });
});

describe('npm run chaos', () => {
  const chaos = (...words: string[]): { status: number | null; out: string; err: string } => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [path.join(root, 'tools', 'chaos.mjs'), ...words],
      { encoding: 'utf8' },
    );
    return { status, out: stdout, err: stderr };
  };

  test('tells its parts, each of which is a file', () => {
    const { status, out } = chaos('--help');
    expect(status).toBe(0);
    for (const part of ['kills', 'power', 'overload', 'minute', 'partition']) {
      expect(out).toMatch(new RegExp(`^  ${part} `, 'm'));
      expect(fs.existsSync(path.join(root, 'test', 'chaos', `${part}.chaos.ts`))).toBe(true);
    }
  });

  test.each([
    [['--only', 'kills,floods'], 'there is no floods'],
    [['--stores', 'mongo'], 'there is no mongo'],
    [['--rounds', '0'], '--rounds is a whole number'],
    [['--minutes', 'ten'], '--minutes is a whole number'],
    [['--what'], "Unknown option '--what'"],
  ])('refuses %j before it begins', (words, said) => {
    const { status, err } = chaos(...words);
    expect(status).toBe(2);
    expect(err).toContain(said);
  });
});
