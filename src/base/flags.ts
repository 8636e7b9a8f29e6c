/**
 * Command-line words and environment variables to raw settings: `--max-tokens 5`, `--no-stream`,
 * `INKSTONE_PORT`. Knows fields (schema.ts), not commands; whether the values are allowed is checked there.
 */
import { InkstoneError } from './errors.ts';
import { nearest } from './nearest.ts';
import { expectation, type Field } from './schema.ts';

export interface Words {
  /** Values by property, as far as their kind could be read; a wrong one stays text, for the check to name. */
  values: Record<string, unknown>;
  /** Words that are no flags. */
  rest: string[];
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

function usage(code: string, message: string, hint?: string): InkstoneError {
  return new InkstoneError(code, message, { kind: 'usage', ...(hint === undefined ? {} : { hint }) });
}

/** Text to a value of the field's kind; text stays text where it does not fit. */
function convert(field: Field, text: string): unknown {
  switch (field.kind) {
    case 'number':
    case 'integer':
      return NUMBER.test(text.trim()) ? Number(text) : text;
    case 'boolean':
      if (/^(true|yes|on|1)$/i.test(text)) return true;
      return /^(false|no|off|0)$/i.test(text) ? false : text;
    case 'any':
      if (NUMBER.test(text.trim())) return Number(text);
      return text === 'true' ? true : text === 'false' ? false : text;
    case 'json':
      try {
        return JSON.parse(text);
      } catch {
        return text;
      }
    default:
      return text;
  }
}

function put(values: Record<string, unknown>, field: Field, text: string, label: string): void {
  const value = convert(field, text);
  if (field.list) {
    values[field.key] = [...((values[field.key] as unknown[] | undefined) ?? []), value];
    return;
  }
  if (field.key in values) throw usage('repeated_flag', `${label} is given twice`, 'give it once');
  values[field.key] = value;
}

function unknownFlag(word: string, known: Iterable<string>): InkstoneError {
  const meant = nearest(word.replace(/^-+/, ''), known);
  return usage(
    'unknown_flag',
    `unknown flag ${word}`,
    meant === undefined ? undefined : `did you mean --${meant}?`,
  );
}

/**
 * Reads words. `--` ends the flags; a lone `-` is a word.
 * @throws InkstoneError `unknown_flag`, `missing_value`, `repeated_flag`, `unexpected_value` (kind usage)
 */
export function readWords(fields: readonly Field[], words: readonly string[]): Words {
  const byFlag = new Map(fields.map((field) => [field.flag, field]));
  const byAlias = new Map(
    fields.flatMap((field) => (field.alias === undefined ? [] : [[field.alias, field] as const])),
  );
  const values: Record<string, unknown> = {};
  const rest: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string;
    if (word === '--') {
      rest.push(...words.slice(i + 1));
      break;
    }
    if (word === '-' || !word.startsWith('-') || NUMBER.test(word)) {
      rest.push(word);
      continue;
    }
    const equals = word.indexOf('=');
    const label = equals < 0 ? word : word.slice(0, equals);
    let given = equals < 0 ? undefined : word.slice(equals + 1);
    const short = label.startsWith('--') ? undefined : byAlias.get(label.slice(1));
    const name = label.replace(/^--?/, '').replaceAll('_', '-');
    let field = short ?? (label.startsWith('--') ? byFlag.get(name) : undefined);
    if (field === undefined && label.startsWith('--no-')) {
      const positive = byFlag.get(name.slice(3));
      if (positive?.kind === 'boolean') {
        if (given !== undefined) throw usage('unexpected_value', `${label} takes no value`);
        field = positive;
        given = 'false';
      }
    }
    if (field === undefined) throw unknownFlag(label, byFlag.keys());
    if (given === undefined) {
      const next = words[i + 1];
      if (field.kind === 'boolean') given = 'true';
      else if (
        next === undefined ||
        (next.startsWith('--') && next !== '--' && byFlag.has(next.slice(2).split('=')[0] as string))
      ) {
        throw usage('missing_value', `${label} needs a value`, `give it ${expectation(field)}`);
      } else {
        given = next;
        i++;
      }
    }
    put(values, field, given, label);
  }
  return { values, rest };
}

/** Values from environment variables; lists are separated by commas. */
export function readEnvironment(
  fields: readonly Field[],
  variable: (name: string) => string | undefined,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const field of fields) {
    if (field.environment === undefined) continue;
    const text = variable(field.environment);
    if (text === undefined) continue;
    values[field.key] = field.list
      ? text.split(',').map((part) => convert(field, part.trim()))
      : convert(field, text);
  }
  return values;
}
