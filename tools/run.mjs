/** Runs a TypeScript file of `runs/`, `examples/` or `bench/`: `node tools/run.mjs examples/01-train-a-gpt.ts ARGUMENTS`. */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, root } from './build.mjs';

const [file, ...rest] = process.argv.slice(2);
if (file === undefined || !file.endsWith('.ts')) {
  process.stderr.write('usage: node tools/run.mjs FILE.ts [ARGUMENTS]\n');
  process.exit(2);
}
await build();
const built = path.join(root, 'dist', path.relative(root, path.resolve(file)).replace(/\.ts$/, '.js'));
process.argv = [process.argv[0], built, ...rest];
await import(pathToFileURL(built).href);
