/** Builds the web client into `dist/studio` with Vite, only where its sources changed. Knows nothing of the server. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './build.mjs';
import { withLock } from './lock.mjs';

const source = path.join(root, 'src', 'studio');
const target = path.join(root, 'dist', 'studio');
const stamp = path.join(root, 'dist', '.studio');

/** Contents of all sources, and the versions of what builds them. */
function fingerprint() {
  const hash = createHash('sha256');
  const entries = readdirSync(source, { recursive: true, withFileTypes: true }).filter((e) => e.isFile());
  const files = entries.map((e) => path.join(e.parentPath, e.name)).sort();
  for (const file of files) {
    if (!/\.test\.tsx?$/.test(file)) hash.update(path.relative(source, file)).update(readFileSync(file));
  }
  for (const name of ['vite', 'preact']) {
    hash.update(readFileSync(path.join(root, 'node_modules', name, 'package.json')));
  }
  return hash.digest('hex').slice(0, 32);
}

function isFresh(wanted) {
  return (
    existsSync(path.join(target, 'index.html')) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted
  );
}

/** Returns true where Vite had to run. */
export async function buildStudio() {
  if (!existsSync(path.join(source, 'index.html'))) return false;
  if (isFresh(fingerprint())) return false;
  return withLock(path.join(root, 'dist', '.studio.lock'), async () => {
    const wanted = fingerprint();
    if (isFresh(wanted)) return false;
    process.stderr.write('building the studio …\n');
    const { build } = await import('vite');
    await build({ configFile: path.join(source, 'vite.config.ts'), logLevel: 'error' });
    writeFileSync(stamp, wanted);
    return true;
  });
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const built = await buildStudio();
  process.stdout.write(built ? 'studio built\n' : 'studio is fresh\n');
}
