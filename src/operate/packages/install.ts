/**
 * Engines that are fetched when somebody first asks for such a model, so that nobody else carries them: npm installs
 * them from the registry, pinned with all that they need, without install scripts, the CPU build of this platform
 * only. Knows which packages there are and where they lie; runs none of them.
 */
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { InkstoneError } from '../../base/errors.ts';
import { withLock } from '../../base/file-lock.ts';
import {
  environment,
  exists,
  facts,
  freeSpace,
  homeFolder,
  machine,
  makeFolder,
  monotonic,
  readText,
  removeFile,
  renameFile,
  spawnProcess,
  writeFile,
} from '../../base/host.ts';
import { nearest } from '../../base/nearest.ts';
import { bytes, duration } from '../../base/progress.ts';

export type PackageName = 'llama' | 'transformers';

interface Recipe {
  title: string;
  purpose: string;
  /** What `import` asks for. */
  entry: string;
  /** Bytes on the disk, with what npm holds meanwhile. */
  size: number;
}

const RECIPES: Readonly<Record<PackageName, Recipe>> = {
  llama: {
    title: 'node-llama-cpp',
    purpose: 'GGUF models through llama.cpp',
    entry: 'node-llama-cpp',
    size: 200e6,
  },
  transformers: {
    title: 'transformers.js',
    purpose: 'ONNX models of Hugging Face’s layout',
    entry: '@huggingface/transformers',
    size: 50e6,
  },
};

export const packageNames = Object.keys(RECIPES) as PackageName[];

interface Pinned {
  version: string;
  /** Integrity of each platform's build, where the build was seen. */
  platforms?: Record<string, string>;
  packages: Record<string, Record<string, unknown>>;
}

export interface InstallOptions {
  /** Where packages lie; default: `INKSTONE_PACKAGES`, else `packages` in the home folder. */
  folder?: string | undefined;
  /** Lines for people: what is fetched, why, and that it is there. */
  note?(line: string): void;
  signal?: AbortSignal;
}

export interface Installed {
  name: PackageName;
  title: string;
  version: string;
  folder: string;
}

/** The folder of all such packages for a home. */
export function packagesFolder(home: string = homeFolder()): string {
  return path.resolve(environment('INKSTONE_PACKAGES') ?? path.join(home, 'packages'));
}

/** @throws InkstoneError `package_unknown` */
export function packageName(given: string): PackageName {
  const found = packageNames.find((name) => name === given);
  if (found !== undefined) return found;
  const meant = nearest(given, packageNames);
  throw new InkstoneError('package_unknown', `there is no engine "${given}" to add`, {
    kind: 'usage',
    hint: meant === undefined ? `there are ${packageNames.join(' and ')}` : `did you mean ${meant}?`,
  });
}

const here = path.dirname(fileURLToPath(import.meta.url));

async function pinned(name: PackageName): Promise<Pinned> {
  return JSON.parse(await readText(path.join(here, `${name}.json`))) as Pinned;
}

/** What an install is made of; the same content is the same install. */
async function filesOf(
  name: PackageName,
  { version, platforms, packages }: Pinned,
): Promise<Map<string, string>> {
  const { entry } = RECIPES[name];
  const dependencies: Record<string, string> = { [entry]: version };
  const overrides: Record<string, string> = {};
  const locked: Record<string, unknown> = { ...packages };
  const files = new Map<string, string>();
  if (platforms !== undefined) {
    const build = platformBuild();
    const own = `@node-llama-cpp/${build}`;
    dependencies[own] = version;
    const integrity = platforms[build];
    locked[`node_modules/${own}`] = { version, ...(integrity === undefined ? {} : { integrity }) };
  }
  if (name === 'transformers') {
    for (const [stub, source] of Object.entries(sharedModules())) {
      dependencies[stub] = `file:./shared/${stub}`;
      overrides[stub] = `$${stub}`;
      locked[`node_modules/${stub}`] = { resolved: `shared/${stub}`, link: true };
      locked[`shared/${stub}`] = { version };
      files.set(`shared/${stub}/package.json`, JSON.stringify({ name: stub, version, main: 'index.js' }));
      files.set(`shared/${stub}/index.js`, source);
    }
  }
  const root = { name: `inkstone-${name}`, dependencies };
  files.set('package.json', JSON.stringify({ ...root, private: true, overrides }, null, 2));
  files.set(
    'package-lock.json',
    JSON.stringify(
      { name: root.name, lockfileVersion: 3, requires: true, packages: { '': root, ...locked } },
      null,
      2,
    ),
  );
  return files;
}

/** @throws InkstoneError `platform_unsupported` */
function platformBuild(): string {
  const { platform, architecture } = machine();
  const builds: Record<string, string> = {
    'linux x64': 'linux-x64',
    'linux arm64': 'linux-arm64',
    'linux arm': 'linux-armv7l',
    'darwin x64': 'mac-x64',
    'darwin arm64': 'mac-arm64-metal',
    'win32 x64': 'win-x64',
    'win32 arm64': 'win-arm64',
  };
  const build = builds[`${platform} ${architecture}`];
  if (build !== undefined) return build;
  throw new InkstoneError(
    'platform_unsupported',
    `there is no llama.cpp build for ${platform} ${architecture}`,
    {
      kind: 'unsupported',
    },
  );
}

/**
 * transformers.js runs on the ONNX Runtime that this package has already: a second one would weigh 290 MB. It needs
 * no browser runtime and, for text, no images.
 */
function sharedModules(): Record<string, string> {
  const require = createRequire(import.meta.url);
  const runtime = require.resolve('onnxruntime-node');
  const common = createRequire(runtime).resolve('onnxruntime-common');
  const same = (file: string): string => `module.exports = require(${JSON.stringify(file)});\n`;
  return {
    'onnxruntime-node': same(runtime),
    'onnxruntime-common': same(common),
    'onnxruntime-web': 'module.exports = {};\n',
    sharp: 'module.exports = {};\n',
  };
}

/** Where a package lies and whether it is there. */
async function placeOf(
  name: PackageName,
  folder: string,
): Promise<{ files: Map<string, string>; place: string; ready: boolean; version: string }> {
  const recipe = await pinned(name);
  const files = await filesOf(name, recipe);
  const hash = createHash('sha256')
    .update(JSON.stringify([...files]))
    .digest('hex')
    .slice(0, 8);
  const place = path.join(folder, `${name}-${recipe.version}-${hash}`);
  return { files, place, ready: await exists(path.join(place, 'installed')), version: recipe.version };
}

/** Whether it is there; fetches nothing. */
export async function isInstalled(name: PackageName, folder: string = packagesFolder()): Promise<boolean> {
  return (await placeOf(name, folder)).ready;
}

/**
 * Fetches a package where it is not there yet. Of several processes that ask at once one works and the others wait.
 * @throws InkstoneError `package_unavailable`, `disk_full`, `platform_unsupported`
 */
export async function install(name: PackageName, options: InstallOptions = {}): Promise<Installed> {
  const { folder = packagesFolder(), note = () => undefined, signal } = options;
  const { title, purpose, size } = RECIPES[name];
  const { files, place, ready, version } = await placeOf(name, folder);
  const installed: Installed = { name, title, version, folder: place };
  if (ready) return installed;
  await makeFolder(folder);
  await withLock(
    path.join(folder, `${name}.lock`),
    async () => {
      if (await exists(path.join(place, 'installed'))) return;
      const free = await freeSpace(folder);
      if (free < size)
        throw new InkstoneError(
          'disk_full',
          `${title} takes up to ${bytes(size)}, the disk has ${bytes(free)}`,
          {
            kind: 'resource',
            hint: 'free some space, or choose another place with INKSTONE_PACKAGES',
          },
        );
      note(`fetching ${title} ${version}, once, for ${purpose} …`);
      const begun = monotonic();
      await fetchInto(place, files, { title, name, signal });
      note(`${title} is there (${duration((monotonic() - begun) / 1000)})`);
    },
    (holder) => note(`process ${holder} is fetching ${title}; waiting for it`),
  );
  return installed;
}

async function fetchInto(
  place: string,
  files: Map<string, string>,
  what: { title: string; name: PackageName; signal: AbortSignal | undefined },
): Promise<void> {
  const fresh = `${place}.new`;
  await removeFile(fresh);
  for (const [file, content] of files) {
    await makeFolder(path.dirname(path.join(fresh, file)));
    await writeFile(path.join(fresh, file), content);
  }
  const { status, said } = await npm(
    [
      'ci',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      '--fetch-retries=1',
      '--fetch-retry-mintimeout=1000',
    ],
    fresh,
    what.signal,
  );
  if (what.signal?.aborted === true)
    throw new InkstoneError('cancelled', 'stopped before the engine was there', { kind: 'conflict' });
  if (status !== 0) {
    await removeFile(fresh);
    throw new InkstoneError('package_unavailable', `${what.title} could not be fetched: ${reasonOf(said)}`, {
      kind: 'resource',
      hint: `check that npm reaches its registry (npm ping) and repeat; without a network, run \`inkstone add ${what.name}\` on a machine like this one and copy its ${path.dirname(place)} here`,
      details: { npm: said.slice(-1000), status },
    });
  }
  await writeFile(path.join(fresh, 'installed'), '');
  await removeFile(place);
  await renameFile(fresh, place);
}

/** npm's own words, the line that says why. */
function reasonOf(said: string): string {
  const lines = said
    .split('\n')
    .map((line) => line.replace(/^npm (error|ERR!)\s*/, '').trim())
    .filter((line) => line !== '' && !/^(code|errno|syscall|A complete log)/.test(line));
  return lines[0] ?? 'npm ended without a word';
}

function npm(
  args: readonly string[],
  folder: string,
  signal: AbortSignal | undefined,
): Promise<{ status: number | null; said: string }> {
  const windows = machine().platform === 'win32';
  const child = spawnProcess(windows ? 'npm.cmd' : 'npm', [...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: windows,
    ...(signal === undefined ? {} : { signal }),
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (piece: Buffer) => {
      said = (said + piece.toString('utf8')).slice(-4000);
    });
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ status: null, said: error.message }));
    child.on('close', (status) => resolve({ status, said }));
  });
}

/** The file that `import` of the package would load; to be imported by its address. */
export async function entryOf({ name, folder }: Installed): Promise<string> {
  const { entry } = RECIPES[name];
  const root = path.join(folder, 'node_modules', entry);
  const manifest = JSON.parse(await readText(path.join(root, 'package.json'))) as {
    main?: string;
    exports?: Record<string, unknown>;
  };
  const file = path.join(root, importTarget(manifest.exports) ?? manifest.main ?? 'index.js');
  if ((await facts(file))?.kind === 'file') return file;
  throw new InkstoneError('package_unavailable', `${folder} is damaged: ${file} is missing`, {
    kind: 'resource',
    hint: `delete ${folder} and repeat`,
  });
}

/** The target of an `exports` field under the conditions of an import in Node. */
function importTarget(given: unknown): string | undefined {
  if (typeof given === 'string') return given;
  if (typeof given !== 'object' || given === null) return undefined;
  const conditions = given as Record<string, unknown>;
  for (const key of ['.', 'node', 'import', 'default'])
    if (conditions[key] !== undefined) return importTarget(conditions[key]);
  return undefined;
}
