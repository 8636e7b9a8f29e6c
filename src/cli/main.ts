/**
 * The command line: finds the command, reads its settings, runs it, prints its result or its error, and turns
 * the outcome into an exit status. Knows no command by name.
 */
import { InkstoneError } from '../base/errors.ts';
import { readEnvironment, readWords } from '../base/flags.ts';
import * as host from '../base/host.ts';
import { createLogger } from '../base/log.ts';
import { createProgress } from '../base/progress.ts';
import { fields, read, readSettings, z } from '../base/schema.ts';
import { packageVersion } from '../base/version.ts';
import { type SpanExporter, tracerFromEnvironment } from '../operate/watch/otlp.ts';
import { readTraceparent, type Span, type Tracer } from '../operate/watch/span.ts';
import type { Command, CommandContext } from './command.ts';
import { type CommandSource, find, folderSource, list } from './find.ts';
import { commandHelp, listHelp, usageLine } from './help.ts';

/** Where a run of the command line reads and writes; tests hand in their own. */
export interface Surroundings {
  source: CommandSource;
  out(text: string): void;
  error(text: string): void;
  variable(name: string): string | undefined;
  signal: AbortSignal;
  /** Where somebody traces. */
  tracer?: Tracer | undefined;
  /** Which signal aborted, for the exit status. */
  stoppedBy(): host.Signal | undefined;
}

const GLOBAL = fields(
  z.object({
    json: z.boolean().default(false),
    help: z.boolean().default(false).meta({ alias: 'h' }),
    config: z.string().optional(),
    version: z.boolean().default(false),
  }),
);

async function readConfig(command: Command, file: string | undefined): Promise<Record<string, unknown>> {
  if (file === undefined) return {};
  const text = await host.readText(file);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    throw new InkstoneError('config_invalid', `${file} is not JSON: ${(thrown as Error).message}`, {
      kind: 'usage',
    });
  }
  return readSettings(command.schema, value);
}

/** Flags before environment before file before defaults; words without a flag fill the positionals. */
async function readCommandSettings(
  command: Command,
  words: string[],
  around: Surroundings,
): Promise<Record<string, unknown>> {
  const own = fields(command.schema);
  const taken = new Set(own.map((field) => field.flag));
  const { values, rest } = readWords([...own, ...GLOBAL.filter((field) => !taken.has(field.flag))], words);
  const positionals = (command.positionals ?? []) as readonly string[];
  for (const [at, key] of positionals.entries()) {
    const field = own.find((one) => one.key === key);
    if (rest.length === 0 || field === undefined) break;
    const isRest = at === positionals.length - 1 && field.list;
    const part = isRest ? rest.splice(0) : rest.splice(0, 1);
    const label = part.flatMap((word) => [`--${field.flag}`, word]);
    Object.assign(values, readWords([field], label).values);
  }
  if (rest.length > 0) {
    throw new InkstoneError('unexpected_word', `unexpected word "${rest[0]}"`, {
      kind: 'usage',
      hint: `usage: ${usageLine(command)}`,
    });
  }
  const { config } = values;
  for (const field of GLOBAL) if (!taken.has(field.flag)) delete values[field.key];
  const environment = readEnvironment(
    own.filter((f) => !positionals.includes(f.key)),
    around.variable,
  );
  const file = await readConfig(command, config as string | undefined);
  const name = (key: string): string => {
    const field = own.find((one) => one.key === key);
    if (field === undefined || positionals.includes(key)) return key.toUpperCase();
    if (!(key in values) && key in environment) return String(field.environment);
    return `--${field.flag}`;
  };
  return read(command.schema, { ...file, ...environment, ...values }, name);
}

function showPlainly(result: object): string {
  return Object.entries(result)
    .map(
      ([key, value]) =>
        `${key}: ${typeof value === 'object' && value !== null ? JSON.stringify(value) : value}`,
    )
    .join('\n');
}

function makeContext(json: boolean, around: Surroundings, span: Span | undefined): CommandContext {
  const print = (text: string): void => {
    if (!json) around.out(text);
  };
  const level = around.variable('INKSTONE_LOG');
  return {
    json,
    signal: around.signal,
    log: createLogger({ write: around.error, ...(level === undefined ? { level: 'info' } : {}) }),
    progress: createProgress({ write: around.error }),
    span,
    print: (text) => print(`${text}\n`),
    stream: print,
  };
}

/** A server has spans of its own for what it is asked; one over its whole life would say nothing. */
async function tracedCommand(
  command: Command,
  words: string[],
  json: boolean,
  around: Surroundings,
): Promise<number> {
  if (command.endsBySignal === true) return runCommand(command, words, json, around);
  const span = around.tracer?.start(`inkstone ${command.name}`, {
    parent: readTraceparent(around.variable('TRACEPARENT')),
    attributes: { 'inkstone.command': command.name, 'process.pid': host.processId() },
  });
  try {
    const status = await runCommand(command, words, json, around, span);
    span?.set({ 'process.exit.code': status });
    return status;
  } catch (thrown) {
    const { code, exitStatus } = InkstoneError.from(thrown);
    span?.set({ 'process.exit.code': exitStatus });
    span?.fail(code);
    throw thrown;
  } finally {
    span?.end();
  }
}

async function runCommand(
  command: Command,
  words: string[],
  json: boolean,
  around: Surroundings,
  span?: Span,
): Promise<number> {
  const settings = await readCommandSettings(command, words, around);
  const context = makeContext(json, around, span);
  let result: object | undefined;
  try {
    result = (await command.run(settings as never, context)) ?? undefined;
  } finally {
    context.progress.end();
  }
  if (json) around.out(`${JSON.stringify(result ?? {})}\n`);
  else if (command.show !== undefined) {
    const text = command.show(result as never, context);
    if (text !== undefined) around.out(text.endsWith('\n') ? text : `${text}\n`);
  } else if (result !== undefined) around.out(`${showPlainly(result)}\n`);
  return command.endsBySignal === true ? 0 : signalStatus(around);
}

function signalStatus(around: Surroundings): number {
  const by = around.stoppedBy();
  return by === undefined ? 0 : by === 'SIGINT' ? 130 : by === 'SIGHUP' ? 129 : 143;
}

/** Prints an error and returns its exit status. */
export function report(
  thrown: unknown,
  json: boolean,
  around: Pick<Surroundings, 'out' | 'error' | 'variable'>,
): number {
  const error = InkstoneError.from(thrown);
  const debug = around.variable('INKSTONE_DEBUG') === '1';
  if (json) {
    const { code, message, hint } = error.toJSON();
    around.out(`${JSON.stringify({ error: { code, message, ...(hint === undefined ? {} : { hint }) } })}\n`);
  } else {
    around.error(`error: ${error.message}\n`);
    if (error.hint !== undefined) around.error(`  ${error.hint}\n`);
    if (error.kind === 'internal' && !debug) around.error('  INKSTONE_DEBUG=1 shows where it happened\n');
  }
  if (debug) {
    for (let at: unknown = error; at instanceof Error; at = at.cause)
      around.error(`${at.stack ?? at.message}\n`);
  }
  return error.exitStatus;
}

/** Runs a command line and returns the exit status. Never throws. */
export async function execute(args: readonly string[], around: Surroundings): Promise<number> {
  const end = args.indexOf('--');
  const flags = args.slice(0, end < 0 ? args.length : end);
  const json = flags.some((word) => word === '--json' || word === '--json=true');
  const help = flags.includes('--help') || flags.includes('-h');
  try {
    if (args[0] === '--version' || args[0] === '-v') {
      const version = await packageVersion();
      around.out(json ? `${JSON.stringify({ version, node: host.machine().node })}\n` : `${version}\n`);
      return 0;
    }
    const words = args[0] === 'help' ? [...args.slice(1), '--help'] : [...args];
    const wantsHelp = help || args[0] === 'help';
    const leading = words.filter((word) => word !== '--json' && word !== '--help' && word !== '-h');
    if (leading.length === 0) {
      around.out(listHelp(await list(around.source)));
      return args.length === 0 ? 2 : 0;
    }
    // Global flags may come before the command's words.
    const start = words.findIndex((word) => word !== '--json' && word !== '--help' && word !== '-h');
    const found = await find(around.source, words.slice(start));
    if (found === undefined) {
      around.out(listHelp(await list(around.source), leading[0]));
      return wantsHelp ? 0 : 2;
    }
    if (wantsHelp) {
      around.out(commandHelp(found.command));
      return 0;
    }
    return await tracedCommand(found.command, found.rest, json, around);
  } catch (thrown) {
    const by = signalStatus(around);
    if (by !== 0 && around.signal.aborted && (thrown as Error | undefined)?.name === 'AbortError') {
      const stopped = new InkstoneError('interrupted', 'stopped before the end', { kind: 'conflict' });
      report(stopped, json, around);
      return by;
    }
    const status = report(thrown, json, around);
    return by !== 0 && InkstoneError.from(thrown).code === 'cancelled' ? by : status;
  }
}

/** Milliseconds that a command which is done waits for a collector. */
const LAST_SPANS = 3000;

function sent(exporter: SpanExporter): Promise<unknown> {
  return Promise.race([exporter.flush(), new Promise((resolve) => setTimeout(resolve, LAST_SPANS).unref())]);
}

/** The process's own run: arguments, signals, exit status. Called by `bin/inkstone.mjs`. */
export async function run(
  args: readonly string[] = host.commandArguments(),
  source: CommandSource = folderSource(),
): Promise<void> {
  const controller = new AbortController();
  let stoppedBy: host.Signal | undefined;
  const tracing = tracerFromEnvironment('command');
  const around: Surroundings = {
    source,
    tracer: tracing?.tracer,
    out: host.writeOut,
    error: host.writeError,
    variable: host.environment,
    signal: controller.signal,
    stoppedBy: () => stoppedBy,
  };
  const stop = (signal: host.Signal): void => {
    stoppedBy = signal;
    controller.abort(new DOMException('stopped by a signal', 'AbortError'));
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    host.onSignal(signal, () => {
      if (stoppedBy !== undefined) return host.endBySignal(signal);
      if (signal === 'SIGINT' && host.isTerminal('stderr'))
        host.writeError('\nstopping; once more ends at once\n');
      stop(signal);
    });
  }
  host.onParentGone(() => stoppedBy === undefined && stop('SIGTERM'));
  host.onCrash((thrown) => host.exit(report(thrown, args.includes('--json'), around)));
  host.setExitStatus(await execute(args, around));
  if (tracing !== undefined) await sent(tracing.exporter);
  // A forgotten thread or socket must not keep a finished command alive.
  setTimeout(() => host.exit(host.exitStatus()), 2000).unref();
}
