/**
 * Who a benchmark compares with: where each peer is found, how it is installed and started. A peer that is not
 * there is named with the way to get it; nothing is claimed against it.
 */
import path from 'node:path';
import { InkstoneError } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';
import { Peer } from './peer.ts';
import type { Description } from './protocol.ts';

export const PEERS = ['pytorch', 'pytorch-compile', 'tfjs', 'jax-js', 'llama.cpp', 'tokenizers'] as const;
export type PeerId = (typeof PEERS)[number];

export const PEER_NAMES: Record<PeerId, string> = {
  pytorch: 'PyTorch eager',
  'pytorch-compile': 'PyTorch torch.compile',
  tfjs: 'TensorFlow.js wasm',
  'jax-js': 'jax-js wasm',
  'llama.cpp': 'llama.cpp',
  tokenizers: 'Hugging Face tokenizers',
};

export interface Absent {
  id: PeerId;
  reason: string;
  /** What to type. */
  install: string;
}

export interface OpenPeer {
  id: PeerId;
  peer: Peer;
  description: Description;
}

export interface PeerOptions {
  threads: number;
  /** Install the JavaScript peers from the registry where they are missing. */
  install: boolean;
  /** Make a Python environment with PyTorch, too: about 1 GB from PyPI. */
  installPython: boolean;
  /** As model hosts have them; for all participants or none. */
  largePages?: boolean;
  /** One line on standard error. */
  note(text: string): void;
}

const folder = (...parts: string[]): string => path.join(host.homeFolder(), 'peers', ...parts);
const own = (name: string): string => path.join(host.packageFolder, 'bench', 'peers', name);

type Running = Pick<PeerOptions, 'threads' | 'largePages'>;

function settings({ threads, largePages = false }: Running): Record<string, string | undefined> {
  const count = String(threads);
  return {
    ...(largePages ? host.withLargePages() : host.allEnvironment()),
    INKSTONE_THREADS: count,
    OMP_NUM_THREADS: count,
    MKL_NUM_THREADS: count,
    TORCHINDUCTOR_CACHE_DIR: folder('cache', 'torchinductor'),
  };
}

/** A Node child with pipes; `file` is JavaScript. */
export function startNode(id: string, file: string, running: Running): Peer {
  const child = host.forkProcess(file, [], {
    stdio: ['pipe', 'pipe', 'pipe', 'ipc'],
    execArgv: [],
    env: settings(running) as NodeJS.ProcessEnv,
  });
  return new Peer(id, child);
}

/** Runs a program to its end. @throws InkstoneError `install_failed` with the last line it said */
async function runProgram(
  program: string,
  args: string[],
  cwd: string,
  note: (text: string) => void,
): Promise<void> {
  note(`${program} ${args.join(' ')} (in ${cwd})`);
  const child = host.spawnProcess(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-2000);
    });
  }
  const status = await new Promise<number | string>((resolve) => {
    child.on('error', (cause) => resolve(cause.message));
    child.on('close', (code) => resolve(code ?? 'a signal'));
  });
  if (status === 0) return;
  throw new InkstoneError(
    'install_failed',
    `${program} failed (${status}): ${said.trim().split('\n').at(-1)}`,
    {
      kind: 'unsupported',
    },
  );
}

// JavaScript peers

/** True when the installed packages are those of our lock file. */
async function javascriptIsThere(): Promise<boolean> {
  const there = folder('js', 'package-lock.json');
  if (!(await host.exists(there)) || !(await host.exists(folder('js', 'node_modules', '.package-lock.json'))))
    return false;
  return (await host.readText(there)) === (await host.readText(own('package-lock.json')));
}

async function installJavascript(note: (text: string) => void): Promise<void> {
  await host.makeFolder(folder('js'));
  for (const name of ['package.json', 'package-lock.json'])
    await host.copyFile(own(name), folder('js', name));
  await runProgram('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], folder('js'), note);
}

/** The scripts are copied beside the packages, because that is where their imports are looked for. */
async function startJavascript(id: PeerId, running: Running): Promise<OpenPeer> {
  const script = id === 'tfjs' ? 'tfjs.mjs' : 'jax.mjs';
  for (const name of ['lines.mjs', script]) await host.copyFile(own(name), folder('js', name));
  const peer = startNode(id, folder('js', script), running);
  return { id, peer, description: await describe(peer) };
}

// llama.cpp

const LLAMA = '3.22.1';

async function startLlama({ install, note, ...running }: PeerOptions): Promise<OpenPeer> {
  const place = folder('llama');
  if (!(await host.exists(path.join(place, 'node_modules', 'node-llama-cpp')))) {
    if (!install) throw new InkstoneError('peer_absent', 'not installed');
    note('installing llama.cpp for the comparison (once, 85 MB)');
    await host.makeFolder(place);
    await host.writeFile(path.join(place, 'package.json'), '{"private":true,"type":"module"}');
    const { platform, architecture } = host.machine();
    // Without its optional packages, which bring CUDA and Vulkan; the one for this processor is named.
    const names = [`node-llama-cpp@${LLAMA}`, `@node-llama-cpp/${platform}-${architecture}@${LLAMA}`];
    await runProgram(
      'npm',
      ['install', '--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund', ...names],
      place,
      note,
    );
  }
  for (const name of ['lines.mjs', 'llama.mjs']) await host.copyFile(own(name), path.join(place, name));
  const peer = startNode('llama.cpp', path.join(place, 'llama.mjs'), running);
  return { id: 'llama.cpp', peer, description: await describe(peer) };
}

// Python peers

/** Where a Python with PyTorch may be, the likeliest first. */
function pythons(): string[] {
  const named = host.environment('INKSTONE_PYTHON');
  return [...(named === undefined ? [] : [named]), folder('python', 'bin', 'python'), 'python3'];
}

async function installPython(note: (text: string) => void): Promise<void> {
  await host.makeFolder(folder());
  await runProgram('python3', ['-m', 'venv', folder('python')], folder(), note);
  await runProgram(
    folder('python', 'bin', 'python'),
    ['-m', 'pip', 'install', 'torch>=2.5,<3', 'numpy'],
    folder(),
    note,
  );
}

async function describe(peer: Peer): Promise<Description> {
  try {
    return await peer.describe();
  } catch (thrown) {
    await peer.end();
    throw thrown;
  }
}

const pythonPeer = (id: PeerId): string => (id === 'tokenizers' ? 'tokenizers_peer.py' : 'torch_peer.py');

async function startPython(id: PeerId, running: Running): Promise<OpenPeer> {
  const reasons: string[] = [];
  for (const python of pythons()) {
    if (python.includes(path.sep) && !(await host.exists(python))) continue;
    const child = host.spawnProcess(python, [own(pythonPeer(id))], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: settings(running) as NodeJS.ProcessEnv,
    });
    const peer = new Peer(id, child);
    try {
      return { id, peer, description: await describe(peer) };
    } catch (thrown) {
      reasons.push(`${python}: ${InkstoneError.from(thrown).message}`);
    }
  }
  throw new InkstoneError('peer_absent', reasons.join('; ') || 'no Python was found', {
    kind: 'unsupported',
  });
}

// All of them

const HOW: Record<'tokenizers' | 'python' | 'javascript', string> = {
  tokenizers: 'set INKSTONE_PYTHON to a Python that has tokenizers: pip install tokenizers',
  python:
    'set INKSTONE_PYTHON to a Python that has torch 2.x, or run with --install-peers, or apt install python3-torch',
  javascript: 'run without --no-install, with the package registry in reach',
};

/** Starts the peers asked for. Never throws: what cannot be started is in `absent`. */
export async function openPeers(
  wanted: readonly PeerId[],
  options: PeerOptions,
): Promise<{ open: OpenPeer[]; absent: Absent[] }> {
  const open: OpenPeer[] = [];
  const absent: Absent[] = [];
  let trouble: string | undefined;
  if (wanted.some((id) => id === 'tfjs' || id === 'jax-js') && !(await javascriptIsThere())) {
    trouble = 'not installed';
    if (options.install) {
      try {
        options.note('installing TensorFlow.js and jax-js for the comparison (once, 70 MB)');
        await installJavascript(options.note);
        trouble = undefined;
      } catch (thrown) {
        trouble = InkstoneError.from(thrown).message;
      }
    }
  }
  if (
    options.installPython &&
    wanted.some((id) => id.startsWith('pytorch')) &&
    !(await host.exists(folder('python')))
  ) {
    try {
      options.note('installing PyTorch for the comparison (once, about 1 GB)');
      await installPython(options.note);
    } catch (thrown) {
      options.note(InkstoneError.from(thrown).message);
    }
  }
  for (const id of wanted) {
    const isPython = id.startsWith('pytorch') || id === 'tokenizers';
    const how = HOW[id === 'tokenizers' ? id : isPython ? 'python' : 'javascript'];
    try {
      if (!isPython && id !== 'llama.cpp' && trouble !== undefined)
        throw new InkstoneError('peer_absent', trouble);
      if (id === 'llama.cpp') {
        open.push(await startLlama(options));
        continue;
      }
      open.push(isPython ? await startPython(id, options) : await startJavascript(id, options));
    } catch (thrown) {
      const { message } = InkstoneError.from(thrown);
      absent.push({ id, reason: message, install: how });
      options.note(`${PEER_NAMES[id]} is absent: ${message}. ${how}`);
    }
  }
  return { open, absent };
}
