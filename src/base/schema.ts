/**
 * One zod object describes a command's or route's settings; this file turns it into a list of fields
 * (for flags, environment, help and forms), reads JSON against it, and words what is wrong.
 * Knows neither command lines (flags.ts) nor HTTP.
 */
import { z } from 'zod';
import { InkstoneError } from './errors.ts';
import { nearest } from './nearest.ts';

export { z };
export type Settings = z.ZodObject;

export type FieldKind = 'string' | 'number' | 'integer' | 'boolean' | 'choice' | 'json' | 'any';

/** What a form, a flag or a help page has to know of one setting. */
export interface Field {
  /** The property: `maxTokens`. */
  key: string;
  /** The flag without dashes: `max-tokens`. */
  flag: string;
  /** The environment variable: `INKSTONE_MAX_TOKENS`; undefined where `.meta({ environment: false })` says so. */
  environment: string | undefined;
  /** One letter, from `.meta({ alias: 'n' })`. */
  alias: string | undefined;
  kind: FieldKind;
  /** True for an array: the flag may be repeated. `kind` is then that of one item. */
  list: boolean;
  choices: string[] | undefined;
  required: boolean;
  default: unknown;
  minimum: number | undefined;
  maximum: number | undefined;
  description: string;
}

interface Node {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: Node[];
  allOf?: Node[];
  items?: Node;
  properties?: Record<string, Node>;
  required?: string[];
  default?: unknown;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  description?: string;
  alias?: string;
  environment?: string | false;
}

/** The JSON Schema (draft 2020-12) of what a caller may send; made for forms and for an OpenAPI page. */
export function jsonSchema(schema: z.ZodType): Record<string, unknown> {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Record<string, unknown>;
}

export function kebab(key: string): string {
  return key
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replaceAll('_', '-')
    .toLowerCase();
}

function kindOf(node: Node): { kind: FieldKind; choices?: string[] } {
  if (node.enum !== undefined) return { kind: 'choice', choices: node.enum.map(String) };
  if (node.const !== undefined) return { kind: 'choice', choices: [String(node.const)] };
  const parts = node.anyOf?.filter((part) => part.type !== 'null');
  if (parts?.length === 1) return kindOf(parts[0] as Node);
  if (parts !== undefined) {
    const kinds = parts.map(kindOf);
    if (kinds.every((part) => part.kind === 'choice')) {
      return { kind: 'choice', choices: kinds.flatMap((part) => part.choices ?? []) };
    }
    return { kind: 'any' };
  }
  switch (node.type) {
    case 'string':
    case 'number':
    case 'integer':
    case 'boolean':
      return { kind: node.type };
    case 'object':
    case 'array':
      return { kind: 'json' };
    default:
      return { kind: 'any' };
  }
}

// z.int() bounds itself by the safe integers; that is no bound to print.
const bound = (value: number | undefined): number | undefined =>
  value === undefined || Math.abs(value) >= Number.MAX_SAFE_INTEGER ? undefined : value;

const fieldsOf = new WeakMap<Settings, Field[]>();

/** The settings of a schema, in the order they were written. */
export function fields(schema: Settings): Field[] {
  const known = fieldsOf.get(schema);
  if (known !== undefined) return known;
  const root = jsonSchema(schema) as Node;
  const required = new Set(root.required ?? []);
  const made = Object.entries(root.properties ?? {}).map(([key, node]): Field => {
    const list = node.type === 'array' && node.items !== undefined && kindOf(node.items).kind !== 'json';
    const { kind, choices } = kindOf(list ? (node.items as Node) : node);
    const flag = kebab(key);
    const variable = node.environment ?? `INKSTONE_${flag.replaceAll('-', '_').toUpperCase()}`;
    return {
      key,
      flag,
      environment: variable === false ? undefined : variable,
      alias: node.alias,
      kind,
      list,
      choices,
      required: required.has(key),
      default: node.default,
      minimum: bound(node.minimum ?? node.exclusiveMinimum),
      maximum: bound(node.maximum ?? node.exclusiveMaximum),
      description: node.description ?? '',
    };
  });
  fieldsOf.set(schema, made);
  return made;
}

const WORDS: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  integer: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a JSON object',
  record: 'a JSON object',
  null: 'null',
};

function show(value: unknown): string {
  const text =
    value === undefined ? 'nothing' : typeof value === 'number' ? String(value) : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** What one field accepts, in words: `a whole number`, `one of cpu, webgpu`. */
export function expectation(field: Field): string {
  if (field.kind === 'choice') return `one of ${(field.choices ?? []).join(', ')}`;
  return WORDS[field.kind] ?? 'another value';
}

type Issue = z.core.$ZodIssue & { input?: unknown };

/** A zod issue as one clause: `--steps must be at least 1, got 0`. */
function clause(issue: Issue, name: string, field: Field | undefined): { text: string; hint?: string } {
  const got = `, got ${show(issue.input)}`;
  switch (issue.code) {
    case 'invalid_type': {
      if (issue.input === undefined) return { text: `${name} is required` };
      const whole = field?.kind === 'integer' && issue.expected === 'number';
      const expected = whole ? 'integer' : issue.expected;
      return { text: `${name} expects ${WORDS[expected] ?? expected}${got}` };
    }
    case 'invalid_value': {
      const choices = issue.values.map(String);
      if (issue.input === undefined) return { text: `${name} is required: one of ${choices.join(', ')}` };
      const meant = typeof issue.input === 'string' ? nearest(issue.input, choices) : undefined;
      const text = `${name} expects one of ${choices.join(', ')}${got}`;
      return meant === undefined ? { text } : { text, hint: `did you mean ${meant}?` };
    }
    case 'too_small': {
      if (issue.origin === 'string') {
        return {
          text:
            issue.minimum === 1
              ? `${name} must not be empty`
              : `${name} needs ${issue.minimum} characters or more`,
        };
      }
      if (issue.origin === 'array') return { text: `${name} needs ${issue.minimum} or more` };
      return {
        text: `${name} must be ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}${got}`,
      };
    }
    case 'too_big': {
      if (issue.origin === 'string') return { text: `${name} may have ${issue.maximum} characters at most` };
      if (issue.origin === 'array') return { text: `${name} may be given ${issue.maximum} times at most` };
      return {
        text: `${name} must be ${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}${got}`,
      };
    }
    case 'not_multiple_of':
      return { text: `${name} must be a multiple of ${issue.divisor}${got}` };
    case 'unrecognized_keys':
      return { text: `unknown setting ${issue.keys.join(', ')}` };
    case 'invalid_union':
      return {
        text:
          issue.input === undefined ? `${name} is required` : `${name} has a form that is not accepted${got}`,
      };
    default:
      return { text: `${name}: ${issue.message}` };
  }
}

/**
 * Checks a value (a request's body, a configuration file, what the flags said).
 * @param name how a field is called in messages; the property itself where left out
 * @throws InkstoneError `invalid_input` (kind usage); `details.fields` has each field's message, `details.param` the first
 */
export function read<S extends z.ZodType>(
  schema: S,
  value: unknown,
  name: (key: string) => string = (key) => key,
): z.output<S> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const known = schema instanceof z.ZodObject ? fields(schema) : [];
  const told = result.error.issues.map((issue) => {
    const [first, ...rest] = issue.path.map(String);
    const field = known.find((f) => f.key === first);
    const label = first === undefined ? 'the input' : [name(first), ...rest].join('.');
    return { key: issue.path.map(String).join('.'), ...clause(issue as Issue, label, field) };
  });
  const hint = told.find((one) => one.hint !== undefined)?.hint;
  throw new InkstoneError(
    'invalid_input',
    told
      .map((one) => one.text)
      .slice(0, 4)
      .join('; '),
    {
      kind: 'usage',
      ...(hint === undefined ? {} : { hint }),
      details: {
        param: told[0]?.key ?? '',
        fields: Object.fromEntries(told.map((one) => [one.key, one.text])),
      },
    },
  );
}

/**
 * Like `read`, for a whole object where an unknown key is a mistake (configuration files). Keys may be
 * written as properties or as flags: `maxTokens`, `max-tokens`, `max_tokens`.
 * @throws InkstoneError `unknown_setting`, `invalid_input`
 */
export function readSettings(schema: Settings, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InkstoneError('invalid_input', `settings are a JSON object, got ${show(value)}`, {
      kind: 'usage',
    });
  }
  const byFlag = new Map(fields(schema).map((field) => [field.flag, field]));
  const named: Record<string, unknown> = {};
  for (const [key, content] of Object.entries(value)) {
    const field = byFlag.get(kebab(key));
    if (field === undefined) {
      const meant = nearest(kebab(key), byFlag.keys());
      throw new InkstoneError('unknown_setting', `unknown setting ${key}`, {
        kind: 'usage',
        hint: meant === undefined ? `known: ${[...byFlag.keys()].join(', ')}` : `did you mean ${meant}?`,
      });
    }
    named[field.key] = content;
  }
  return named;
}
