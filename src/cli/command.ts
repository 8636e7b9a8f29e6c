/**
 * What a command is: a name, one schema for its settings, and a function. Knows nothing of how it is found
 * (main.ts) or printed (help.ts).
 */
import type { Logger } from '../base/log.ts';
import type { Progress } from '../base/progress.ts';
import type { Settings, z } from '../base/schema.ts';
import type { Span } from '../operate/watch/span.ts';

/** What a running command may use besides its settings. */
export interface CommandContext {
  /** True when a machine reads standard output. */
  readonly json: boolean;
  /** Aborted at the first SIGINT or SIGTERM; a command then ends in order and may still return a result. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly progress: Progress;
  /** This run of the command, where somebody traces; never holds what was asked or answered. */
  readonly span?: Span | undefined;
  /** A line on standard output for people; nothing with `--json`. */
  print(text: string): void;
  /** Text on standard output without a line end (streamed tokens); nothing with `--json`. */
  stream(text: string): void;
}

/** What `--json` prints as its one line; null prints `{}`. */
// biome-ignore lint/suspicious/noConfusingVoidType: a command that only prints returns nothing
export type CommandResult = object | void;

export interface CommandOptions<S extends Settings, R extends CommandResult> {
  /** The words behind `inkstone`: `train text`. */
  name: string;
  /** One line for the list of commands. */
  summary: string;
  /** More, for the command's own `--help`. */
  description?: string;
  /** One zod object: flags, environment, `--config` file and help all come from it. */
  schema: S;
  /** Properties that are given without a flag, in order; the last may be a list. */
  positionals?: readonly (keyof z.output<S> & string)[];
  /** Lines for the help page, without `inkstone`: `train text --preset nanogpt-cpu --data my.txt`. */
  examples?: readonly string[];
  /** True for a command whose normal end is a signal (serve): the exit status is then 0. */
  endsBySignal?: boolean;
  /** Resolves when the work is over (a server: when it was shut down); two seconds later the process ends. */
  run(settings: z.output<S>, context: CommandContext): Promise<R>;
  /** The result for people; where left out it is printed as lines of `key: value`. */
  show?(result: R, context: CommandContext): string | undefined;
}

const MARKER = Symbol.for('inkstone.command');

export interface Command<S extends Settings = Settings, R extends CommandResult = CommandResult>
  extends CommandOptions<S, R> {
  readonly [MARKER]: true;
}

/** Declares a command. The file that exports it sits at `commands/NAME.ts`, a family's at `commands/FAMILY/NAME.ts`. */
export function command<S extends Settings, R extends CommandResult>(
  options: CommandOptions<S, R>,
): Command<S, R> {
  return { ...options, [MARKER]: true };
}

export function isCommand(value: unknown): value is Command {
  return typeof value === 'object' && value !== null && MARKER in value;
}
