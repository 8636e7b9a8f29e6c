/**
 * Installs what is missing: runs npm only where `node_modules` lacks what package-lock.json says, so a second
 * call costs a few milliseconds and a closed network does not matter once everything is there. npm runs no
 * `pre…` hooks here (.npmrc has ignore-scripts), so start, test and the command itself call this.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { withLock } from './lock.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** Node versions that the project is tested on; others get one line of warning, no more. */
const SUPPORTED = [
  { major: 20, minor: 19 },
  { major: 22, minor: 12 },
];

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** What the stamp says: the lock file, and the platform that the binaries are for. */
function fingerprint(folder) {
  const hash = createHash('sha256');
  for (const name of ['package-lock.json', 'package.json']) {
    const file = path.join(folder, name);
    if (existsSync(file)) hash.update(readFileSync(file));
  }
  return hash.update(`${process.platform}-${process.arch}`).digest('hex').slice(0, 32);
}

/** Whether a locked package is meant for this machine at all. */
function isWanted(entry) {
  const allows = (list, value) => {
    if (list === undefined) return true;
    if (list.includes(`!${value}`)) return false;
    const positive = list.filter((item) => !item.startsWith('!'));
    return positive.length === 0 || positive.includes(value);
  };
  return entry.optional !== true && allows(entry.os, process.platform) && allows(entry.cpu, process.arch);
}

/** The first locked package that is not installed in its version; undefined when all are there. */
export function missingPackage(folder = root) {
  const lock = readJson(path.join(folder, 'package-lock.json'));
  if (lock?.packages === undefined) return 'package-lock.json';
  const installed = readJson(path.join(folder, 'node_modules', '.package-lock.json'))?.packages;
  if (installed === undefined) return 'node_modules';
  for (const [name, entry] of Object.entries(lock.packages)) {
    if (!name.startsWith('node_modules/') || !isWanted(entry) || entry.link === true) continue;
    if (installed[name]?.version !== entry.version || !existsSync(path.join(folder, name))) return name;
  }
  return undefined;
}

/** A quick look, for a folder that somebody emptied in part: the packages that package.json names. */
function directAreThere(folder) {
  const { dependencies = {}, devDependencies = {} } = readJson(path.join(folder, 'package.json')) ?? {};
  const names = [...Object.keys(dependencies), ...Object.keys(devDependencies)];
  return names.every((name) => existsSync(path.join(folder, 'node_modules', name)));
}

function npm(args, folder) {
  // npm's own standard output would spoil a command's: everything goes to standard error.
  const command = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  return spawnSync(command, args, {
    cwd: folder,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
    env: {
      ...process.env,
      npm_config_yes: 'true',
      npm_config_loglevel: process.env.npm_config_loglevel ?? 'error',
    },
  });
}

function install(folder) {
  const fresh = !existsSync(path.join(folder, 'node_modules'));
  const common = ['--ignore-scripts', '--include=dev', '--include=optional', '--no-audit', '--no-fund'];
  // `ci` empties node_modules first: right for a fresh clone, rough on one that other processes use.
  const args = fresh ? ['ci', ...common] : ['install', '--no-save', ...common];
  let result = npm(args, folder);
  if (result.status !== 0 && result.error === undefined) {
    process.stderr.write('npm failed; trying once more\n');
    result = npm(args, folder);
  }
  return result;
}

/** `npx inkstone` runs what stands in node_modules/.bin. */
function linkCommand(folder) {
  const link = path.join(folder, 'node_modules', '.bin', 'inkstone');
  if (existsSync(link)) return;
  try {
    mkdirSync(path.dirname(link), { recursive: true });
    symlinkSync(path.join('..', '..', 'bin', 'inkstone.mjs'), link);
  } catch (error) {
    // Two set-ups at once, or a file system without links: npx then finds the package's own `bin`.
    if (error.code !== 'EEXIST' && error.code !== 'EPERM') throw error;
  }
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const fits = major >= 24 || SUPPORTED.some((one) => one.major === major && minor >= one.minor);
  if (!fits)
    process.stderr.write(`Node ${process.versions.node} is not tested; use 20.19, 22.12, 24 or newer\n`);
}

/**
 * Makes sure that the dependencies are there. Returns true where npm had to run.
 * @throws Error with what to do, when they are not and cannot be installed
 */
export async function setup(folder = root) {
  const stamp = path.join(folder, 'node_modules', '.inkstone-setup');
  const wanted = fingerprint(folder);
  const isFresh = () => {
    try {
      return readFileSync(stamp, 'utf8') === wanted && directAreThere(folder);
    } catch {
      return false;
    }
  };
  if (isFresh()) return false;
  checkNode();
  return withLock(path.join(folder, '.setup.lock'), async () => {
    if (isFresh()) return false;
    const missing = missingPackage(folder);
    if (missing !== undefined) {
      // An interrupted install must not look like a finished one.
      rmSync(stamp, { force: true });
      process.stderr.write(
        `installing dependencies (${missing.replace('node_modules/', '')} is missing) …\n`,
      );
      const { status, error } = install(folder);
      const still = missingPackage(folder);
      if (status !== 0 || still !== undefined) {
        const why =
          error === undefined ? `npm ended with status ${status}` : `npm cannot be run: ${error.message}`;
        throw new Error(
          `The dependencies could not be installed: ${why}${still === undefined ? '' : `; ${still} is missing`}.\n` +
            'Check that the package registry can be reached (npm ping) and repeat.',
        );
      }
    }
    linkCommand(folder);
    writeFileSync(stamp, wanted);
    return missing !== undefined;
  });
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    const ran = await setup();
    process.stdout.write(ran ? 'dependencies installed\n' : 'dependencies are there\n');
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
