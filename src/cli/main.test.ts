/** The command line as a whole, with made-up commands; the real process is tried at the end. */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { InkstoneError } from '../base/errors.ts';
import * as host from '../base/host.ts';
import { z } from '../base/schema.ts';
import { type EndedSpan, Tracer } from '../operate/watch/span.ts';
import { type Command, type CommandContext, command } from './command.ts';
import { type CommandSource, folderSource, list } from './find.ts';
import { execute } from './main.ts';

let seen: CommandContext | undefined;
const greet = command({
  name: 'train text',
  summary: 'Trains a text model.',
  description: 'Longer words about it.',
  schema: z.object({
    data: z.string().describe('what to learn from'),
    steps: z.int().min(1).default(10).describe('how many steps'),
    names: z.array(z.string()).optional(),
    dry: z.boolean().default(false),
  }),
  positionals: ['names'],
  examples: ['train text --data a.txt'],
  run: async (settings, context) => {
    seen = context;
    context.print('working');
    context.stream('.');
    return { ...settings };
  },
});
const failing = (thrown: unknown): Command =>
  command({
    name: 'fail',
    summary: 'Fails.',
    schema: z.object({}),
    run: async () => {
      throw thrown;
    },
  }) as unknown as Command;
const serve = command({
  name: 'serve',
  summary: 'Serves.',
  endsBySignal: true,
  schema: z.object({ model: z.string().optional(), port: z.int().default(4747) }),
  positionals: ['model'],
  run: async ({ model, port }) => ({ model, port }),
  show: ({ port }) => `port ${port}`,
});

function source(thrown: unknown = new Error('odd')): CommandSource {
  const commands: Record<string, Command> = {
    'train/text': greet as unknown as Command,
    fail: failing(thrown),
    serve: serve as unknown as Command,
  };
  return { names: async () => Object.keys(commands), load: async (name) => commands[name] };
}

interface Outcome {
  status: number;
  out: string;
  error: string;
}

async function run(
  words: string[],
  options: {
    variables?: Record<string, string>;
    thrown?: unknown;
    stopped?: host.Signal;
    tracer?: Tracer;
  } = {},
): Promise<Outcome> {
  let out = '';
  let error = '';
  const controller = new AbortController();
  if (options.stopped !== undefined) controller.abort(new DOMException('stopped', 'AbortError'));
  const status = await execute(words, {
    source: source(options.thrown),
    out: (text) => {
      out += text;
    },
    error: (text) => {
      error += text;
    },
    variable: (name) => options.variables?.[name],
    signal: controller.signal,
    stoppedBy: () => options.stopped,
    tracer: options.tracer,
  });
  return { status, out, error };
}

const lastLine = (text: string): unknown => JSON.parse(text.trimEnd().split('\n').at(-1) as string);

describe('a command', () => {
  test('gets its settings and prints its result for people', async () => {
    const { status, out } = await run(['train', 'text', '--data', 'x', '--steps=3', 'a', 'b']);
    expect(status).toBe(0);
    expect(out).toBe('working\n.data: x\nsteps: 3\nnames: ["a","b"]\ndry: false\n');
    expect(seen?.json).toBe(false);
  });

  test('prints one line of JSON for machines, and nothing else', async () => {
    for (const words of [
      ['train', 'text', '--data', 'x', '--json'],
      ['--json', 'train', 'text', '--data', 'x'],
    ]) {
      const { status, out } = await run(words);
      expect(status).toBe(0);
      expect(out).toBe('{"data":"x","steps":10,"dry":false}\n');
    }
  });

  test('takes flags before the environment before a file before defaults', async () => {
    const folder = await host.makeTemporaryFolder();
    const file = path.join(folder, 'config.json');
    await host.writeFile(file, JSON.stringify({ data: 'file', steps: 5, dry: true }));
    const variables = { INKSTONE_DATA: 'environment', INKSTONE_STEPS: '6' };
    const words = ['train', 'text', '--json', '--config', file];
    expect(lastLine((await run(words)).out)).toEqual({ data: 'file', steps: 5, dry: true });
    expect(lastLine((await run(words, { variables })).out)).toEqual({
      data: 'environment',
      steps: 6,
      dry: true,
    });
    expect(lastLine((await run([...words, '--steps', '7', '--no-dry'], { variables })).out)).toEqual({
      data: 'environment',
      steps: 7,
      dry: false,
    });
    await host.writeFile(file, '{"stps": 5}');
    expect((await run(words)).out).toContain('unknown setting stps');
    await host.writeFile(file, 'steps: 5');
    expect(lastLine((await run(words)).out)).toMatchObject({ error: { code: 'config_invalid' } });
    await host.removeFile(folder);
    expect((await run(words)).status).toBe(4);
  });

  test('is a span where somebody traces, in the trace of whoever called it', async () => {
    const ended: EndedSpan[] = [];
    const tracer = new Tracer((span) => void ended.push(span));
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const variables = { TRACEPARENT: `00-${trace}-00f067aa0ba902b7-01` };
    await run(['train', 'text', '--data', 'a secret', '--json'], { tracer, variables });
    expect(seen?.span?.place.trace).toBe(trace);
    const thrown = new InkstoneError('disk_full', 'a secret', { kind: 'resource' });
    await run(['fail'], { tracer, thrown });
    await run(['train', 'text'], { tracer });
    // A server tells of its requests instead.
    await run(['serve'], { tracer });
    const told = ended.map(({ name, parent, error, attributes }) => [
      name,
      parent,
      error,
      attributes['process.exit.code'],
    ]);
    expect(told).toEqual([
      ['inkstone train text', '00f067aa0ba902b7', undefined, 0],
      ['inkstone fail', undefined, 'disk_full', 6],
      ['inkstone train text', undefined, 'invalid_input', 2],
    ]);
    expect(JSON.stringify(ended)).not.toContain('secret');
  });

  test('shows its result its own way', async () => {
    expect(await run(['serve', '--port', '1'])).toEqual({ status: 0, out: 'port 1\n', error: '' });
    expect((await run(['serve', 'starter', '--json'])).out).toBe('{"model":"starter","port":4747}\n');
  });
});

describe('what is wrong is said', () => {
  test.each([
    [['train', 'text'], 2, /--data is required/],
    [['train', 'text', '--data', 'x', '--stps', '2'], 2, /did you mean --steps/],
    [['train', 'text', '--data', 'x', '--steps', 'two'], 2, /--steps expects a whole number, got "two"/],
    [['train', 'txt'], 2, /did you mean inkstone train text/],
    [['trian'], 2, /did you mean inkstone train/],
    [['serve', 'a', 'b'], 2, /unexpected word "b"[\s\S]*usage: inkstone serve \[MODEL\]/],
    [['serve', '--port', '1', '--port', '2'], 2, /given twice/],
  ])('%j', async (words, status, message) => {
    const outcome = await run(words);
    expect(outcome.status).toBe(status);
    expect(outcome.error).toMatch(message);
    expect(outcome.error).not.toMatch(/\n\s+at /);
    const machine = await run([...words, '--json']);
    expect(machine.status).toBe(status);
    expect(machine.out.trimEnd().split('\n')).toHaveLength(1);
    expect(lastLine(machine.out)).toMatchObject({
      error: { code: expect.any(String), message: expect.any(String) },
    });
  });

  test('names the variable that is wrong', async () => {
    const { error } = await run(['serve'], { variables: { INKSTONE_PORT: 'http' } });
    expect(error).toContain('INKSTONE_PORT expects a whole number, got "http"');
  });

  test('gives each kind its exit status, and stack traces only when asked', async () => {
    const full = new InkstoneError('disk_full', 'no room', { kind: 'resource', hint: 'make some' });
    expect(await run(['fail'], { thrown: full })).toEqual({
      status: 6,
      out: '',
      error: 'error: no room\n  make some\n',
    });
    const odd = await run(['fail'], { thrown: new TypeError('x is undefined') });
    expect(odd.status).toBe(1);
    expect(odd.error).toContain('INKSTONE_DEBUG=1');
    const traced = await run(['fail'], { thrown: new TypeError('x'), variables: { INKSTONE_DEBUG: '1' } });
    expect(traced.error).toMatch(/TypeError: x\n\s+at /);
    expect((await run(['fail'], { thrown: 'a word' })).error).toContain('error: a word');
  });

  test('a signal decides the status unless the command ends by one', async () => {
    const abort = new DOMException('stopped', 'AbortError');
    expect(await run(['fail'], { thrown: abort, stopped: 'SIGINT' })).toMatchObject({ status: 130 });
    expect(
      await run(['fail'], { thrown: new InkstoneError('cancelled', 'x'), stopped: 'SIGTERM' }),
    ).toMatchObject({ status: 143 });
    expect(await run(['train', 'text', '--data', 'x'], { stopped: 'SIGINT' })).toMatchObject({ status: 130 });
    expect(await run(['serve'], { stopped: 'SIGTERM' })).toMatchObject({ status: 0 });
  });
});

describe('help', () => {
  test('of everything lists commands, variables and exit codes', async () => {
    for (const words of [['--help'], ['-h'], ['help']]) {
      const { status, out } = await run(words);
      expect(status).toBe(0);
      expect(out).toMatch(/train text\s+Trains a text model\./);
      expect(out).toContain('INKSTONE_HOME');
      expect(out).toContain('Exit codes');
    }
    expect((await run([])).status).toBe(2);
  });

  test('of a command comes from its schema', async () => {
    for (const words of [
      ['train', 'text', '--help'],
      ['help', 'train', 'text'],
      ['train', 'text', '-h', '--steps', 'x'],
    ]) {
      const { status, out } = await run(words);
      expect(status).toBe(0);
      expect(out).toContain('Usage: inkstone train text [NAMES…] --data TEXT [flags]');
      expect(out).toMatch(/--steps N\s+how many steps \(at least 1, default 10, INKSTONE_STEPS\)/);
      expect(out).toContain('Longer words about it.');
      expect(out).toContain('inkstone train text --data a.txt');
      for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(110);
    }
  });

  test('of a family lists its members', async () => {
    const { status, out } = await run(['train', '--help']);
    expect(status).toBe(0);
    expect(out).toContain('train text');
    expect(out).not.toContain('serve');
    expect((await run(['train'])).status).toBe(2);
  });
});

describe('commands in a folder', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await host.makeTemporaryFolder();
    await host.makeFolder(path.join(folder, 'train'));
    await host.writeFile(path.join(folder, 'broken.ts'), 'throw new TypeError("cannot start");\n');
    await host.writeFile(path.join(folder, 'train', 'text.ts'), 'export const shared = 1;\n');
    await host.writeFile(path.join(folder, 'train', 'text.test.ts'), '\n');
  });
  afterAll(() => host.removeFile(folder));

  test('are found by file; one that does not load does not hide the others', async () => {
    const found = folderSource(folder);
    expect(await found.names()).toEqual(['broken', 'train/text']);
    expect(await list(found)).toEqual([{ name: 'broken', summary: 'cannot be loaded: cannot start' }]);
    expect(await folderSource(path.join(folder, 'none')).names()).toEqual([]);
  });

  test('all of ours load, and each is named as its file', async () => {
    const ours = folderSource();
    for (const name of await ours.names()) {
      const one = await ours.load(name);
      if (one !== undefined)
        expect(one.name.replaceAll(' ', '-')).toBe(name.replaceAll('/', '-').replace(/-index$/, ''));
    }
  });
});

describe('the process', () => {
  async function spawn(words: string[]): Promise<Outcome> {
    const child = host.spawnCommand(words, { env: { ...process.env, INKSTONE_DEBUG: '' } });
    const texts: Record<'stdout' | 'stderr', string> = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream]?.on('data', (piece: Buffer) => {
        texts[stream] += piece.toString();
      });
    }
    const status = await new Promise<number>((resolve) =>
      child.on('close', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 143))),
    );
    return { status, out: texts.stdout, error: texts.stderr };
  }

  /** A command that waits for its signal, in a process of its own; `stubborn` goes on for ever. */
  async function waiting(
    kind: 'polite' | 'stubborn' | 'forgetful',
    signals: host.Signal[],
  ): Promise<Outcome> {
    const script = `
      import { run } from ${JSON.stringify(pathToFileURL(host.entry('cli/main')).href)};
      import { command } from ${JSON.stringify(pathToFileURL(host.entry('cli/command')).href)};
      import { z } from ${JSON.stringify(pathToFileURL(host.entry('base/schema')).href)};
      const wait = command({ name: 'wait', summary: 'Waits.', schema: z.object({}), async run(_, { signal }) {
        const timer = setInterval(() => {}, 1000);
        process.stderr.write('ready\\n');
        if ('${kind}' === 'forgetful') return { done: true };
        await new Promise((resolve) => signal.addEventListener('abort', () => {
          process.stderr.write('ready\\n');
          if ('${kind}' === 'polite') resolve();
        }));
        clearInterval(timer);
        return { stopped: true };
      } });
      await run(['wait', '--json'], { names: async () => ['wait'], load: async () => wait });`;
    const child = host.spawnProcess(process.execPath, ['--input-type=module', '-e', script]);
    const left = [...signals];
    let out = '';
    let error = '';
    child.stdout.on('data', (piece: Buffer) => {
      out += piece.toString();
    });
    child.stderr.on('data', (piece: Buffer) => {
      error += piece.toString();
      const next = left.shift();
      if (next !== undefined) child.kill(next);
    });
    const status = await new Promise<number>((resolve) =>
      child.on('close', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 143))),
    );
    return { status, out, error };
  }

  test('ends in order at the first signal, at once at the second', async () => {
    const polite = await waiting('polite', ['SIGINT']);
    expect(polite).toMatchObject({ status: 130, out: '{"stopped":true}\n' });
    expect(await waiting('polite', ['SIGTERM'])).toMatchObject({ status: 143 });
    expect(await waiting('stubborn', ['SIGINT', 'SIGINT'])).toMatchObject({ status: 130, out: '' });
  });

  test('ends although something was left open', async () => {
    expect(await waiting('forgetful', [])).toMatchObject({ status: 0, out: '{"done":true}\n' });
  });

  test('answers through the command itself', async () => {
    const version = await spawn(['--version']);
    expect(version).toMatchObject({ status: 0, error: '' });
    expect(version.out).toMatch(/^\d+\.\d+\.\d+\n$/);
    const wrong = await spawn(['no-such-command', '--json']);
    expect(wrong.status).toBe(2);
    expect(lastLine(wrong.out)).toMatchObject({ error: { code: 'unknown_command' } });
  });
});
