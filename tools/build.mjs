/**
 * Turns `src/` into `dist/`, file by file: types are erased, `./x.ts` becomes `./x.js`, nothing is bundled.
 * Only what changed is written again; a fresh `dist` costs a few milliseconds. Two builds at once are safe.
 * The studio is Vite's (see studio.mjs); type checking is the compiler's (`npm run types`).
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { withLock } from './lock.mjs';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const MANIFEST = '.build.json';

/** A change of this file rebuilds everything. */
const recipe = digest(readFileSync(fileURLToPath(import.meta.url)));

function digest(bytes) {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 24);
}

function walk(folder, skip = () => false, prefix = '', found = []) {
  let entries;
  try {
    entries = readdirSync(path.join(folder, prefix), { withFileTypes: true });
  } catch {
    return found;
  }
  for (const entry of entries) {
    const name = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
    if (skip(name)) continue;
    if (entry.isDirectory()) walk(folder, skip, name, found);
    else found.push(name);
  }
  return found;
}

function isSource(name) {
  if (/\.test\.ts$/.test(name) || /(^|\/)(tests|fixtures|golden)\//.test(name)) return false;
  return (name.endsWith('.ts') && !name.endsWith('.d.ts')) || name.endsWith('.json');
}

const outputOf = (name) => name.replace(/\.ts$/, '.js');

function readManifest(dist) {
  try {
    const manifest = JSON.parse(readFileSync(path.join(dist, MANIFEST), 'utf8'));
    if (manifest.recipe === recipe) return manifest;
  } catch {
    // None, or half a one: everything is built again.
  }
  return { recipe, files: {} };
}

/** Folders beside `src` that are built to `dist/NAME`: benchmarks, runs, examples. What is not there adds nothing. */
const BESIDE = ['bench', 'runs', 'examples'];
const isBeside = (name) => BESIDE.some((folder) => name.startsWith(`${folder}/`));

function sourcesOf(src) {
  const own = walk(src, (name) => name === 'studio').filter(isSource);
  const others = BESIDE.flatMap((folder) => {
    const place = path.join(path.dirname(src), folder);
    const files = walk(place, (name) => name === 'peers').filter(isSource);
    return files.map((name) => ({ name: `${folder}/${name}`, file: path.join(place, name) }));
  });
  return [...own.map((name) => ({ name, file: path.join(src, name) })), ...others];
}

/** What differs between `src` and `dist`; reads contents only of files whose time or size moved. */
function compare(src, dist) {
  const manifest = readManifest(dist);
  const sources = sourcesOf(src);
  const outputs = new Set(walk(dist, (name) => name === 'studio' || name === 'types'));
  const files = {};
  const changed = [];
  let touched = false;
  for (const { name, file } of sources) {
    const { mtimeMs, size } = statSync(file);
    const known = manifest.files[name];
    if (known && known.mtime === mtimeMs && known.size === size && outputs.has(outputOf(name))) {
      files[name] = known;
      continue;
    }
    const text = readFileSync(file);
    const hash = digest(text);
    files[name] = { mtime: mtimeMs, size, hash };
    touched = true;
    if (known?.hash !== hash || !outputs.has(outputOf(name)))
      changed.push({ name, text: text.toString('utf8') });
  }
  const wanted = new Set(sources.map(({ name }) => outputOf(name)));
  const removed = [...outputs].filter(
    (name) => /\.(js|json)$/.test(name) && !name.startsWith('.') && !wanted.has(name),
  );
  return { files, changed, removed, touched };
}

/** Whole import statements, as esbuild prints them, and dynamic imports with a literal. */
export function rewriteImports(code) {
  return code
    .replace(/^((?:import|export|\}) ?(?:[^"'`\n]*? ?from )?")(\.{1,2}\/[^"\n]+)\.ts(";)$/gm, '$1$2.js$3')
    .replace(/(\bimport\(\s*")(\.{1,2}\/[^"\n]+)\.ts("\s*\))/g, '$1$2.js$3');
}

function writeWhole(file, text) {
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, text);
  renameSync(temporary, file);
}

async function transpile(esbuild, name, text) {
  if (name.endsWith('.json')) return text;
  const result = await esbuild.transform(text, {
    loader: 'ts',
    format: 'esm',
    target: 'node20.19',
    platform: 'node',
    sourcefile: `src/${name}`,
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true, target: 'es2022' } },
  });
  const code = isBeside(name) ? result.code.replaceAll('"../src/', '"../') : result.code;
  return rewriteImports(code);
}

/**
 * Brings `dist` up to date and returns how many files it wrote and removed.
 * A file that does not parse is named in the error; all others are built nevertheless.
 */
export async function build({ src = path.join(root, 'src'), dist = path.join(root, 'dist') } = {}) {
  const first = compare(src, dist);
  if (!first.touched && first.changed.length === 0 && first.removed.length === 0)
    return { written: 0, removed: 0 };
  return withLock(path.join(dist, '.build.lock'), async () => {
    const { files, changed, removed } = compare(src, dist);
    const problems = [];
    if (changed.length > 0) {
      const esbuild = changed.some(({ name }) => name.endsWith('.ts')) ? await import('esbuild') : undefined;
      await Promise.all(
        changed.map(async ({ name, text }) => {
          const target = path.join(dist, outputOf(name));
          try {
            const code = await transpile(esbuild, name, text);
            mkdirSync(path.dirname(target), { recursive: true });
            writeWhole(target, code);
          } catch (error) {
            problems.push(error.message);
            delete files[name];
          }
        }),
      );
    }
    for (const name of removed) rmSync(path.join(dist, name), { force: true });
    writeWhole(path.join(dist, MANIFEST), JSON.stringify({ recipe, files }));
    if (problems.length > 0) throw new Error(`The build failed:\n${problems.join('\n')}`);
    return { written: changed.length, removed: removed.length };
  });
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    const started = performance.now();
    const { written, removed } = await build();
    const took = Math.round(performance.now() - started);
    process.stdout.write(`dist: ${written} written, ${removed} removed, ${took} ms\n`);
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
