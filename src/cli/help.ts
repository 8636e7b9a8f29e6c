/** Help pages, made from schemas. Knows how they look, not when they are asked for. */
import { expectation, type Field, fields } from '../base/schema.ts';
import type { Command } from './command.ts';

const WIDTH = 100;

export const EXIT_CODES = `Exit codes
  0    done
  1    an error inside Inkstone
  2    a wrong flag, word or setting
  3    input data that cannot be used
  4    a file, model or run that is not there
  5    the state forbids it (a vocabulary differs, a run exists)
  6    out of disk, memory, places or permission
  7    a key is missing or wrong
  8    training diverged (NaN); the last good checkpoint is kept
  9    this build or machine cannot do it
  130  stopped by SIGINT (143: by SIGTERM)`;

export const GLOBAL_FLAGS: [string, string][] = [
  [
    '--json',
    'the last line of standard output is one JSON object, errors too; progress goes to standard error',
  ],
  ['--config FILE', 'read settings from a JSON file; flags and environment go before it'],
  ['-h, --help', 'this page'],
];

/** Breaks text at spaces. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + word.length + 1 > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' ? lines : [...lines, line];
}

/** Two columns; a long left side gets a line of its own. */
export function columns(rows: readonly (readonly [string, string])[]): string {
  const left = Math.min(30, Math.max(...rows.map(([name]) => name.length)));
  return rows
    .map(([name, text]) => {
      const [first = '', ...more] = wrap(text, WIDTH - left - 4);
      const head =
        name.length > left
          ? `  ${name}\n${' '.repeat(left + 4)}${first}`
          : `  ${name.padEnd(left)}  ${first}`;
      return [head.trimEnd(), ...more.map((line) => `${' '.repeat(left + 4)}${line}`)].join('\n');
    })
    .join('\n');
}

function valueName(field: Field): string {
  if (field.kind === 'boolean') return '';
  const name = { integer: 'N', number: 'X', choice: (field.choices ?? []).join('|'), json: 'JSON' } as Record<
    string,
    string
  >;
  const word = name[field.kind] ?? 'TEXT';
  return ` ${word.length > 40 ? 'NAME' : word}`;
}

function describe(field: Field): string {
  const facts = [
    ...(field.required ? ['required'] : []),
    ...(field.list ? ['may be repeated'] : []),
    ...(field.kind === 'choice' && valueName(field) === ' NAME' ? [expectation(field)] : []),
    ...(field.minimum === undefined ? [] : [`at least ${field.minimum}`]),
    ...(field.maximum === undefined ? [] : [`at most ${field.maximum}`]),
    ...(field.default === undefined || field.default === false
      ? []
      : [`default ${JSON.stringify(field.default)}`]),
    ...(field.environment === undefined ? [] : [field.environment]),
  ];
  return `${field.description}${facts.length === 0 ? '' : ` (${facts.join(', ')})`}`.trim();
}

function flagName(field: Field): string {
  const long = field.kind === 'boolean' && field.default === true ? `--no-${field.flag}` : `--${field.flag}`;
  return `${field.alias === undefined ? '' : `-${field.alias}, `}${long}${valueName(field)}`;
}

/** The usage line of a command. */
export function usageLine(command: Command): string {
  const all = fields(command.schema);
  const words = (command.positionals ?? []).map((key) => {
    const field = all.find((f) => f.key === key);
    const name = `${key.toUpperCase()}${field?.list === true ? '…' : ''}`;
    return field?.required === true ? name : `[${name}]`;
  });
  const required = all.filter((f) => f.required && !(command.positionals ?? []).includes(f.key as never));
  return [
    'inkstone',
    command.name,
    ...words,
    ...required.map((f) => `--${f.flag}${valueName(f)}`),
    '[flags]',
  ].join(' ');
}

export function commandHelp(command: Command): string {
  const all = fields(command.schema);
  const positional = new Set<string>(command.positionals ?? []);
  const words = all.filter((f) => positional.has(f.key));
  const flags = all.filter((f) => !positional.has(f.key));
  const parts = [command.summary, `Usage: ${usageLine(command)}`];
  if (command.description !== undefined) {
    parts.push(
      command.description
        .split('\n')
        .map((line) => wrap(line, WIDTH).join('\n'))
        .join('\n'),
    );
  }
  if (words.length > 0) {
    parts.push(
      `Words\n${columns(words.map((f) => [f.key.toUpperCase(), describe({ ...f, environment: undefined })]))}`,
    );
  }
  parts.push(
    `Flags\n${columns([...flags.map((f) => [flagName(f), describe(f)] as [string, string]), ...GLOBAL_FLAGS])}`,
  );
  if (command.examples !== undefined && command.examples.length > 0) {
    parts.push(
      `Examples\n${command.examples.map((line) => `  inkstone ${line.replace(/^inkstone /, '')}`).join('\n')}`,
    );
  }
  parts.push(EXIT_CODES);
  return `${parts.join('\n\n')}\n`;
}

/** The list of commands; `family` narrows it to the commands behind one word. */
export function listHelp(commands: readonly { name: string; summary: string }[], family?: string): string {
  const shown = family === undefined ? commands : commands.filter((c) => c.name.startsWith(`${family} `));
  const parts = [
    family === undefined
      ? 'Inkstone makes text, images and speech: prepare data, train, evaluate, serve and generate.'
      : `The commands of ${family}.`,
    `Usage: inkstone ${family ?? 'COMMAND'} ${family === undefined ? '' : 'COMMAND '}[flags]`,
    `Commands\n${columns(shown.map((c) => [c.name, c.summary]))}`,
    `Flags\n${columns([...GLOBAL_FLAGS.filter(([name]) => name !== '--config FILE'), ['--version', 'the version']])}`,
    'Environment\n' +
      columns([
        ['INKSTONE_HOME', 'where state lives (default .inkstone)'],
        ['INKSTONE_LOG', 'debug, info, warn, error or silent'],
        ['INKSTONE_DEBUG', '1 prints stack traces with errors'],
      ]),
    EXIT_CODES,
  ];
  return `${parts.join('\n\n')}\n`;
}
