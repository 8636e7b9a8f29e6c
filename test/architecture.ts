/**
 * The rules of the house as functions over a set of files (path → text), so that they can be tried on small
 * made-up trees. Knows nothing of the disk; architecture.test.ts reads the real one.
 */
import path from 'node:path';
import { transform } from 'esbuild';

/** Rows from the top; folders on one row do not import each other. */
export const LAYERS: readonly (readonly string[])[] = [
  ['cli', 'studio'],
  ['serve'],
  ['operate'],
  ['train', 'evaluate'],
  ['safeguard'],
  ['generate', 'prompt'],
  ['models'],
  ['nn', 'data'],
  ['store'],
  ['runtime'],
  ['program'],
  ['formats'],
  ['base'],
];

export const LONGEST = 500;
const HOST = 'src/base/host.ts';
/** The host, and the parts of it that have files of their own. */
const HOSTS = new Set([HOST, 'src/base/machine.ts', 'src/base/host-disk.ts', 'src/base/host-process.ts']);
/** Only the host may import these; their types are free. */
const HOST_MODULES = /^(node:)?(fs|fs\/promises|process|child_process|worker_threads|os|cluster)$/;
/** What else belongs to the host, as it appears in code without strings. */
const HOST_WORDS: [RegExp, string][] = [
  [/\bprocess\s*\./, 'process'],
  [/\bconsole\s*\./, 'console'],
  [/\bDate\.now\b/, 'Date.now'],
  [/\bnew Date\(\s*\)/, 'new Date()'],
  [/\bperformance\s*\./, 'performance'],
  [/\bMath\.random\b/, 'Math.random'],
];
/** Packages that belong to one folder; nobody else may lean on them. */
const OWNERS: Record<string, string> = {
  'onnxruntime-node': 'runtime',
  '@huggingface/jinja': 'prompt',
  fastify: 'serve',
  '@fastify/static': 'serve',
  preact: 'studio',
};

export type Tree = ReadonlyMap<string, string>;

export interface Rules {
  /** Entry files of threads, which may import `node:worker_threads`. */
  workers: readonly string[];
  /** `dependencies` of package.json. */
  dependencies: readonly string[];
}

interface Import {
  to: string;
  typeOnly: boolean;
}

const isTest = (file: string): boolean => /\.test\.tsx?$/.test(file) || file.startsWith('test/');
const isCode = (file: string): boolean => /\.(ts|tsx)$/.test(file) && !file.endsWith('.d.ts');
const isStudio = (file: string): boolean => file.startsWith('src/studio/');
/** `src/nn/layers/x.ts` → `nn`; `src/index.ts` → undefined: the way in, above all rows. */
const folderOf = (file: string): string | undefined => /^src\/([^/]+)\//.exec(file)?.[1];

/** Imports of a file as written. Statements start a line (the formatter sees to it). */
export function importsOf(text: string): Import[] {
  const found: Import[] = [];
  const statement = /^(?:import|export)\s(type\s)?(?:[^'"`;]*?\sfrom\s)?\s*['"]([^'"\n]+)['"]/gm;
  for (const [, type, to] of text.matchAll(statement))
    found.push({ to: to as string, typeOnly: type !== undefined });
  for (const [, to] of text.matchAll(/\bimport\(\s*['"]([^'"\n]+)['"]\s*\)/g))
    found.push({ to: to as string, typeOnly: false });
  return found;
}

function resolve(file: string, to: string): string {
  return path.posix.normalize(path.posix.join(path.posix.dirname(file), to));
}

function rowOf(folder: string): number {
  return LAYERS.findIndex((row) => row.includes(folder));
}

function layerProblem(file: string, target: string, typeOnly: boolean): string | undefined {
  const from = folderOf(file);
  const to = folderOf(target);
  if (from === undefined) return undefined;
  if (!target.startsWith('src/')) return 'imports a file outside src';
  if (to === undefined) return 'imports the way in from inside';
  if (from === to) return undefined;
  if (rowOf(to) < 0) return `imports the unknown folder ${to}`;
  if (from === 'studio' && !(typeOnly && (to === 'serve' || to === 'base'))) {
    return 'is a browser client: it may import only types, from serve and base';
  }
  if (rowOf(to) === rowOf(from)) return `imports its neighbour ${to}; hand it in from above`;
  return rowOf(to) < rowOf(from) ? `imports upwards, from ${from} to ${to}` : undefined;
}

/** Imports only down, only to files that are there, with their extension. */
export function checkLayers(tree: Tree): string[] {
  const problems: string[] = [];
  for (const [file, text] of tree) {
    if (!file.startsWith('src/') || !isCode(file) || isTest(file)) continue;
    const folder = folderOf(file);
    if (folder !== undefined && rowOf(folder) < 0)
      problems.push(`${file}: ${folder} is no layer; see LAYERS`);
    for (const { to, typeOnly } of importsOf(text)) {
      if (!to.startsWith('.')) continue;
      const target = resolve(file, to);
      if (!tree.has(target) && !/\.(css|svg|json)$/.test(target))
        problems.push(`${file}: ${to} is not there`);
      const problem = layerProblem(file, target, typeOnly);
      if (problem !== undefined) problems.push(`${file}: ${problem} (${to})`);
    }
  }
  return problems;
}

/** Circles among files, each reported once, with the way round. Type imports count: they tangle readers as well. */
export function checkCycles(tree: Tree): string[] {
  const problems: string[] = [];
  const done = new Set<string>();
  const way: string[] = [];
  const visit = (file: string): void => {
    const at = way.indexOf(file);
    if (at >= 0) {
      problems.push(`a circle of imports: ${[...way.slice(at), file].join(' → ')}`);
      return;
    }
    if (done.has(file)) return;
    way.push(file);
    for (const { to } of importsOf(tree.get(file) ?? '')) {
      const target = to.startsWith('.') ? resolve(file, to) : undefined;
      if (target !== undefined && tree.has(target) && isCode(target)) visit(target);
    }
    way.pop();
    done.add(file);
  };
  for (const file of tree.keys()) if (file.startsWith('src/') && isCode(file)) visit(file);
  return problems;
}

/** No file over 500 lines but data and generated ones (`@generated` in the first lines). */
export function checkLength(tree: Tree): string[] {
  return [...tree].flatMap(([file, text]) => {
    if (!/\.(ts|tsx|mjs|js|css)$/.test(file) || text.slice(0, 400).includes('@generated')) return [];
    const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
    return lines > LONGEST ? [`${file}: ${lines} lines, ${LONGEST} at most`] : [];
  });
}

/** Each source file says first what it does. */
export function checkOpening(tree: Tree): string[] {
  return [...tree].flatMap(([file, text]) => {
    if (!file.startsWith('src/') || !isCode(file) || isTest(file)) return [];
    return /^\s*(\/\*|\/\/)/.test(text) ? [] : [`${file}: opens without a comment that says what it does`];
  });
}

/** The code without types, comments and strings. */
async function bare(file: string, text: string): Promise<string> {
  const { code } = await transform(text, {
    loader: file.endsWith('x') ? 'tsx' : 'ts',
    legalComments: 'none',
  });
  return code
    .replace(/"(?:[^"\\\n]|\\.)*"/g, '""')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '');
}

/** Files, processes, the clock, chance and the terminal are the host's; errors that leave are InkstoneErrors. */
export async function checkHost(tree: Tree, rules: Rules): Promise<string[]> {
  const files = [...tree].filter(([file]) => file.startsWith('src/') && isCode(file) && !isTest(file));
  const found = await Promise.all(
    files.map(async ([file, text]) => {
      if (HOSTS.has(file) || isStudio(file)) return [];
      const problems: string[] = [];
      for (const { to, typeOnly } of importsOf(text)) {
        if (typeOnly || !HOST_MODULES.test(to)) continue;
        if (/worker_threads$/.test(to) && rules.workers.includes(file)) continue;
        problems.push(`${file}: ${to} is for ${HOST} alone`);
      }
      const code = await bare(file, text);
      for (const [pattern, word] of HOST_WORDS)
        if (pattern.test(code)) problems.push(`${file}: ${word} is for ${HOST} alone`);
      if (/\bthrow new (Type|Range|Syntax)?Error\(/.test(code))
        problems.push(`${file}: throws a bare Error; use InkstoneError`);
      return problems;
    }),
  );
  return found.flat();
}

/** Packages are declared as dependencies, and some belong to one folder. */
export function checkPackages(tree: Tree, rules: Rules): string[] {
  const problems: string[] = [];
  for (const [file, text] of tree) {
    if (!file.startsWith('src/') || !isCode(file) || isTest(file) || file.endsWith('.config.ts')) continue;
    for (const { to, typeOnly } of importsOf(text)) {
      if (to.startsWith('.') || to.startsWith('node:')) continue;
      const name = to
        .split('/')
        .slice(0, to.startsWith('@') ? 2 : 1)
        .join('/');
      const owner = OWNERS[name];
      if (owner !== undefined && owner !== folderOf(file))
        problems.push(`${file}: ${name} belongs to src/${owner}`);
      // The studio is bundled: what it imports is not needed at run time.
      if (!isStudio(file) && !typeOnly && !rules.dependencies.includes(name)) {
        problems.push(`${file}: ${name} is not among the dependencies of package.json`);
      }
    }
  }
  return problems;
}

/** Examples show the library as its users see it: through its public exports. */
export function checkExamples(tree: Tree): string[] {
  return [...tree].flatMap(([file, text]) => {
    if (!file.startsWith('examples/') || !isCode(file) || isTest(file)) return [];
    const inner = importsOf(text).filter(({ to }) => /(^|\/)(src|dist)\//.test(to));
    return inner.map(({ to }) => `${file}: imports ${to}; examples use the public exports`);
  });
}

/** Every rule; one line for each thing that breaks one. */
export async function checkAll(tree: Tree, rules: Rules): Promise<string[]> {
  return [
    ...checkLayers(tree),
    ...checkCycles(tree),
    ...checkLength(tree),
    ...checkOpening(tree),
    ...(await checkHost(tree, rules)),
    ...checkPackages(tree, rules),
    ...checkExamples(tree),
  ];
}
