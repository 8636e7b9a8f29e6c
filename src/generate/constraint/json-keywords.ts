/** The keywords of JSON Schema that are understood: their shapes, `allOf` folded in, alternatives told apart. */
import { z } from '../../base/schema.ts';
import { invalid, unsupported } from './schema-errors.ts';

/** Keywords that say nothing about which documents fit. */
const SILENT = new Set(
  `$schema $id $anchor $comment title description default examples deprecated readOnly writeOnly $defs
  definitions contentMediaType contentEncoding`.split(/\s+/),
);

export const TYPES = ['object', 'array', 'string', 'integer', 'number', 'boolean', 'null'] as const;
export type Type = (typeof TYPES)[number];

/** Keywords by the type that they speak about. */
export const OF_TYPE: Readonly<Record<Type, readonly string[]>> = {
  string: ['minLength', 'maxLength', 'pattern', 'format'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  integer: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems'],
  object: ['properties', 'required', 'additionalProperties', 'propertyNames'],
  boolean: [],
  null: [],
};

const schema = z.union([z.boolean(), z.record(z.string(), z.unknown())]);
const type = z.enum(TYPES);
const count = z.int().min(0);
const keywords = z
  .looseObject({
    type: z.union([type, z.array(type).min(1)]),
    enum: z.array(z.unknown()).min(1),
    $ref: z.string(),
    anyOf: z.array(schema).min(1),
    oneOf: z.array(schema).min(1),
    allOf: z.array(schema).min(1),
    properties: z.record(z.string(), schema),
    required: z.array(z.string()),
    additionalProperties: schema,
    propertyNames: schema,
    items: schema,
    prefixItems: z.array(schema),
    minItems: count,
    maxItems: count,
    minLength: count,
    maxLength: count,
    pattern: z.string(),
    format: z.string(),
    minimum: z.number(),
    maximum: z.number(),
    exclusiveMinimum: z.number(),
    exclusiveMaximum: z.number(),
  })
  .partial();
export type Keywords = z.output<typeof keywords>;

/** One schema object with its keywords checked and `allOf` folded in. @throws InkstoneError `schema_invalid`, `schema_unsupported` */
export function readKeywords(given: unknown, path: string): Keywords {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw invalid(path, 'it is neither an object nor true or false');
  const read = keywords.safeParse(given);
  if (!read.success) {
    const [issue] = read.error.issues;
    const [keyword, ...within] = issue?.path ?? [];
    const place = within.length === 0 ? '' : ` (at ${within.join('/')})`;
    throw invalid(path, `"${String(keyword)}"${place} is not as it should be: ${issue?.message}`);
  }
  return merged(read.data, path);
}

/** The keywords that narrow down what fits. */
export const speaking = (given: Keywords): string[] => Object.keys(given).filter((key) => !SILENT.has(key));

/** @throws InkstoneError `schema_unsupported` naming the first that is not among `known` */
export function only(given: readonly string[], known: readonly string[], path: string): void {
  const strange = given.find((key) => !known.includes(key));
  if (strange !== undefined) throw unsupported(path, `"${strange}" is not supported here`);
}

/** Types that the keywords of a schema without `type` speak about. */
export function typesOf(given: Keywords): Type[] {
  if (given.type !== undefined) return [given.type].flat();
  const own = speaking(given);
  const guessed = (['object', 'array', 'string', 'number'] as const).find((one) =>
    own.some((key) => OF_TYPE[one].includes(key)),
  );
  return guessed === undefined ? [] : [guessed];
}

/** `allOf` folded into one schema, where no two parts speak about the same keyword in different ways. */
function merged(given: Keywords, path: string): Keywords {
  const { allOf, ...own } = given;
  if (allOf === undefined) return given;
  const result: Keywords = { ...own };
  allOf.forEach((one, i) => {
    if (one === true) return;
    if (one === false) throw unsupported(path, '"allOf" with false in it');
    const part = readKeywords(one, `${path}/allOf/${i}`);
    for (const [key, value] of Object.entries(part)) {
      const before = result[key];
      if (before === undefined || SILENT.has(key)) result[key] = value;
      else if (key === 'properties') {
        const both = Object.keys(value as object).find((name) => name in (before as object));
        if (both !== undefined) throw unsupported(path, `"allOf" that describes "${both}" twice`);
        result.properties = { ...result.properties, ...part.properties };
      } else if (key === 'required')
        result.required = [...new Set([...(result.required ?? []), ...(part.required ?? [])])];
      else if (JSON.stringify(before) !== JSON.stringify(value))
        throw unsupported(path, `"allOf" with more than one "${key}"`);
    }
  });
  return result;
}

/** Whether no document can fit two of the schemas, as far as types and fixed properties tell. */
export function apart(options: readonly unknown[]): boolean {
  const kinds = (one: unknown): string[] | undefined => {
    const given = (one as Keywords | null)?.type;
    // Every whole number is a number.
    return given === undefined
      ? undefined
      : [given].flat().map((name) => (name === 'integer' ? 'number' : name));
  };
  const tags = (one: unknown): Map<string, string[]> => {
    const { properties = {}, required = [] } = (one ?? {}) as Keywords;
    const found = new Map<string, string[]>();
    for (const name of required) {
      const property = properties[name] as { const?: unknown; enum?: unknown[] } | undefined;
      const values = property?.enum ?? (property?.const === undefined ? undefined : [property.const]);
      if (values !== undefined)
        found.set(
          name,
          values.map((value) => JSON.stringify(value)),
        );
    }
    return found;
  };
  return options.every((a, i) =>
    options.slice(i + 1).every((b) => {
      const [first, second] = [kinds(a), kinds(b)];
      if (first !== undefined && second !== undefined && !first.some((name) => second.includes(name)))
        return true;
      const others = tags(b);
      return [...tags(a)].some(([name, values]) =>
        others.get(name)?.every((value) => !values.includes(value)),
      );
    }),
  );
}
