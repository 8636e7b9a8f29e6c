/** Typed variables of a prompt: declared as data, checked with zod, told by name when they are wrong. */
import { InkstoneError } from '../base/errors.ts';
import { nearest } from '../base/nearest.ts';
import { z } from '../base/schema.ts';
import type { Node } from './template.ts';

const common = { description: z.string().optional(), optional: z.boolean().optional() };

export type Variable = { description?: string | undefined; optional?: boolean | undefined } & (
  | {
      type: 'string';
      minimum?: number | undefined;
      maximum?: number | undefined;
      default?: string | undefined;
    }
  | {
      type: 'number' | 'integer';
      minimum?: number | undefined;
      maximum?: number | undefined;
      default?: number | undefined;
    }
  | { type: 'boolean'; default?: boolean | undefined }
  | { type: 'choice'; values: string[]; default?: string | undefined }
  | { type: 'list'; of: Variable }
  | { type: 'record'; fields: Record<string, Variable> }
);

/** What a variable is: its type and what its values may be. */
export const variableSchema: z.ZodType<Variable> = z.lazy(() =>
  z.discriminatedUnion('type', [
    z.strictObject({
      ...common,
      type: z.literal('string'),
      /** Characters. */
      minimum: z.number().int().min(0).optional(),
      maximum: z.number().int().min(0).optional(),
      default: z.string().optional(),
    }),
    z.strictObject({
      ...common,
      type: z.enum(['number', 'integer']),
      minimum: z.number().optional(),
      maximum: z.number().optional(),
      default: z.number().optional(),
    }),
    z.strictObject({ ...common, type: z.literal('boolean'), default: z.boolean().optional() }),
    z.strictObject({
      ...common,
      type: z.literal('choice'),
      values: z.array(z.string()).min(1),
      default: z.string().optional(),
    }),
    z.strictObject({ ...common, type: z.literal('list'), of: variableSchema }),
    z.strictObject({
      ...common,
      type: z.literal('record'),
      fields: z.record(z.string(), variableSchema),
    }),
  ]),
);

export type Variables = Record<string, Variable>;
export type Values = Record<string, unknown>;

/** The check of one value. */
function schemaOf(variable: Variable): z.ZodType {
  switch (variable.type) {
    case 'string': {
      const length = z.string();
      const atLeast = variable.minimum === undefined ? length : length.min(variable.minimum);
      return variable.maximum === undefined ? atLeast : atLeast.max(variable.maximum);
    }
    case 'number':
    case 'integer': {
      const number = variable.type === 'integer' ? z.number().int() : z.number();
      const atLeast = variable.minimum === undefined ? number : number.min(variable.minimum);
      return variable.maximum === undefined ? atLeast : atLeast.max(variable.maximum);
    }
    case 'boolean':
      return z.boolean();
    case 'choice':
      return z.enum(variable.values as [string, ...string[]]);
    case 'list':
      return z.array(schemaOf(variable.of));
    case 'record':
      return z.strictObject(
        Object.fromEntries(
          Object.entries(variable.fields).map(([name, field]) => [
            name,
            field.optional === true ? schemaOf(field).optional() : schemaOf(field),
          ]),
        ),
      );
  }
}

const WORDS: Record<Variable['type'], string> = {
  string: 'text',
  number: 'a number',
  integer: 'a whole number',
  boolean: 'true or false',
  choice: 'one of its values',
  list: 'a list',
  record: 'a record',
};

const defaultOf = (variable: Variable): unknown => ('default' in variable ? variable.default : undefined);

/** What a value should be, in words. */
const expected = (variable: Variable): string =>
  variable.type === 'choice' ? `one of ${variable.values.join(', ')}` : WORDS[variable.type];

export interface CheckOptions {
  /** Fields that no variable asks for are left alone (a data set's rows have more than a prompt needs). */
  extra?: boolean;
  /** What the values are of, for messages: `example 3`. */
  of?: string;
}

/**
 * Values with defaults filled in.
 * @throws InkstoneError `variable_missing`, `variable_invalid`, `variable_unknown`, each naming it (`details.variable`)
 */
export function checkValues(variables: Variables, given: Values, options: CheckOptions = {}): Values {
  const at = options.of === undefined ? '' : `${options.of}: `;
  const fail = (code: string, variable: string, message: string, hint?: string): InkstoneError =>
    new InkstoneError(code, `${at}${message}`, {
      kind: 'usage',
      ...(hint === undefined ? {} : { hint }),
      details: { variable, param: `variables.${variable}` },
    });
  const names = Object.keys(variables);
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(variables, name) || options.extra === true) continue;
    const close = nearest(name, names);
    throw fail(
      'variable_unknown',
      name,
      `the prompt has no variable ${name}`,
      close === undefined ? `it has ${names.join(', ') || 'none'}` : `did you mean ${close}?`,
    );
  }
  const checked: Values = {};
  for (const [name, variable] of Object.entries(variables)) {
    const value = Object.hasOwn(given, name) ? given[name] : undefined;
    if (value === undefined || value === null) {
      const fallback = defaultOf(variable);
      if (fallback !== undefined) checked[name] = fallback;
      else if (variable.optional !== true)
        throw fail(
          'variable_missing',
          name,
          `the variable ${name} is missing`,
          `give it ${expected(variable)}`,
        );
      continue;
    }
    const read = schemaOf(variable).safeParse(value);
    if (!read.success) {
      const [issue] = read.error.issues as [z.core.$ZodIssue];
      const where = [name, ...issue.path.map(String)].join('.');
      const shown = JSON.stringify(value) ?? String(value);
      throw fail(
        'variable_invalid',
        name,
        `the variable ${where} expects ${issue.path.length === 0 ? expected(variable) : 'another value'}, got ${shown.length > 60 ? `${shown.slice(0, 57)}…` : shown}`,
        issue.message,
      );
    }
    checked[name] = read.data;
  }
  return checked;
}

/**
 * Text as it comes from a command line, as the variable's type has it; what does not fit stays text, for the check to
 * name.
 */
export function valueOfText(variable: Variable | undefined, text: string): unknown {
  switch (variable?.type) {
    case 'number':
    case 'integer':
      return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text;
    case 'list':
    case 'record':
      try {
        return JSON.parse(text) as unknown;
      } catch {
        return text;
      }
    default:
      return text;
  }
}

/** Names that a template asks for at its outermost level, in order: what must be declared. */
export function namesOf(nodes: readonly Node[]): string[] {
  const names = new Set<string>();
  const walk = (all: readonly Node[]): void => {
    for (const node of all) {
      if (node.kind === 'text') continue;
      if (node.name !== '.') names.add(node.name.split('.')[0] as string);
      if (node.kind === 'section') walk(node.body);
    }
  };
  walk(nodes);
  return [...names];
}

/** The type that a name has in the innermost scope; scopes are fields by name, or the item itself under `.`. */
type TypeScope = readonly Readonly<Record<string, Variable>>[];

function typeOf(scope: TypeScope, name: string): Variable | undefined {
  if (name === '.') return scope.at(-1)?.['.'];
  const [first, ...rest] = name.split('.') as [string, ...string[]];
  for (let depth = scope.length - 1; depth >= 0; depth--) {
    let found: Variable | undefined = Object.hasOwn(scope[depth] as object, first)
      ? scope[depth]?.[first]
      : undefined;
    if (found === undefined) continue;
    for (const part of rest) {
      if (found?.type !== 'record' || !Object.hasOwn(found.fields, part)) return undefined;
      found = found.fields[part];
    }
    return found;
  }
  return undefined;
}

/** @throws InkstoneError `variable_undeclared` for a place that no declared variable fills */
export function checkTemplate(nodes: readonly Node[], variables: Variables): void {
  const walk = (all: readonly Node[], scope: TypeScope): void => {
    for (const node of all) {
      if (node.kind === 'text') continue;
      const type = typeOf(scope, node.name);
      if (type === undefined || (node.kind === 'value' && type.type === 'record'))
        throw new InkstoneError(
          'variable_undeclared',
          type === undefined
            ? `{{${node.name}}} is no declared variable (${node.place})`
            : `{{${node.name}}} is a record: name one of its fields (${node.place})`,
          {
            kind: 'usage',
            hint:
              type === undefined
                ? `declared: ${Object.keys(variables).join(', ') || 'nothing'}`
                : `its fields are ${type.type === 'record' ? Object.keys(type.fields).join(', ') : ''}`,
            details: { variable: node.name },
          },
        );
      if (node.kind !== 'section') continue;
      const item = type.type === 'list' ? type.of : type;
      walk(node.body, [...scope, item.type === 'record' ? { ...item.fields, '.': item } : { '.': item }]);
    }
  };
  walk(nodes, [variables]);
}
