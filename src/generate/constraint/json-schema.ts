/**
 * A JSON Schema as a grammar of the documents that fit it, in compact form and the schema's order of properties. What
 * cannot be kept to is refused by name, so that no document is ever written that the schema does not allow.
 */
import {
  accepts,
  bytes,
  choice,
  type Grammar,
  type Lazy,
  Lengths,
  lazy,
  machine,
  sequence,
} from './grammar.ts';
import { apart, type Keywords, OF_TYPE, only, readKeywords, speaking, typesOf } from './json-keywords.ts';
import { anyNumber, numberGrammar } from './json-number.ts';
import { stringGrammar } from './json-string.ts';
import { invalid, unsatisfiable, unsupported } from './schema-errors.ts';

/** A space may follow a comma or a colon, as most writers have it. */
const GAP = choice(bytes(''), bytes(' '));
/** Schemas within schemas. */
const DEEPEST = 200;

/**
 * The grammar of what fits.
 * @throws InkstoneError `schema_invalid`, `schema_unsupported`, `schema_unsatisfiable`
 */
export function schemaGrammar(schema: unknown): Grammar {
  const grammar = new Compiler(schema).compile(schema, '');
  if (new Lengths(grammar).of(grammar) === Number.POSITIVE_INFINITY)
    throw unsatisfiable('', 'every document that fits it would have no end');
  return grammar;
}

class Compiler {
  private readonly root: unknown;
  private readonly references = new Map<string, Lazy>();
  private anything: Lazy | undefined;
  private depth = 0;

  constructor(root: unknown) {
    this.root = root;
  }

  compile(schema: unknown, path: string): Grammar {
    if (schema === true) return this.any();
    if (schema === false) throw unsatisfiable(path, 'it allows nothing');
    if (this.depth >= DEEPEST) throw unsupported(path, `it is more than ${DEEPEST} deep`);
    this.depth++;
    const grammar = this.ofKeywords(readKeywords(schema, path), path);
    this.depth--;
    return grammar;
  }

  private ofKeywords(given: Keywords, path: string): Grammar {
    const keywords = speaking(given);
    if (keywords.length === 0) return this.any();
    if (given.$ref !== undefined) {
      only(keywords, ['$ref'], path);
      return this.reference(given.$ref, path);
    }
    if ('const' in given) return this.values([given.const], without(given, 'const'), path);
    if (given.enum !== undefined) return this.values(given.enum, without(given, 'enum'), path);
    for (const either of ['anyOf', 'oneOf'] as const)
      if (given[either] !== undefined) return this.alternatives(either, given, path);
    const types = typesOf(given);
    if (types.length === 0) throw unsupported(path, `"${keywords[0]}" is not supported here`);
    only(keywords, ['type', ...types.flatMap((type) => OF_TYPE[type])], path);
    const options = types.map((type) => {
      switch (type) {
        case 'null':
          return bytes('null');
        case 'boolean':
          return choice(bytes('true'), bytes('false'));
        case 'integer':
        case 'number':
          return numberGrammar(given, type === 'integer', path);
        case 'string':
          return sequence(bytes('"'), stringGrammar(given, path), bytes('"'));
        case 'array':
          return this.array(given, path);
        case 'object':
          return this.object(given, path);
      }
    });
    return options.length === 1 ? (options[0] as Grammar) : choice(...options);
  }

  /** Fixed values, of which those count that the keywords beside them allow. */
  private values(list: readonly unknown[], beside: Keywords, path: string): Grammar {
    only(speaking(beside), ['type', 'enum', ...Object.values(OF_TYPE).flat()], path);
    const written = [...new Set(list.map((value) => JSON.stringify(value)))];
    const rest = this.compile(beside, path);
    const fitting = written.filter((text) => accepts(rest, text));
    if (fitting.length === 0) throw unsatisfiable(path, 'none of its values fits');
    return choice(...fitting.map(bytes));
  }

  private alternatives(either: 'anyOf' | 'oneOf', given: Keywords, path: string): Grammar {
    // What stands beside the alternatives holds for each of them.
    const rest = without(given, either);
    const alone = speaking(rest).length === 0;
    const joined = (given[either] ?? []).map((option) =>
      alone || typeof option === 'boolean' ? option : { allOf: [rest, option] },
    );
    if (either === 'oneOf' && !apart(joined.map((option) => this.resolved(option))))
      throw unsupported(path, '"oneOf" whose alternatives may fit at once', 'use anyOf');
    return choice(...joined.map((option, i) => this.compile(option, `${path}/${either}/${i}`)));
  }

  private resolved(schema: unknown): unknown {
    const { $ref, allOf } = schema as { $ref?: unknown; allOf?: unknown };
    if (typeof $ref === 'string') return this.lookUp($ref) ?? schema;
    return allOf === undefined ? schema : readKeywords(schema, '');
  }

  private array(given: Keywords, path: string): Grammar {
    const { prefixItems: first = [], minItems: least = 0, maxItems: most = Number.POSITIVE_INFINITY } = given;
    const leading = first.slice(0, most).map((item, i) => this.compile(item, `${path}/prefixItems/${i}`));
    const repeats = given.items !== false && leading.length < most;
    const item = repeats ? this.compile(given.items ?? true, `${path}/items`) : undefined;
    if (least > most || (item === undefined && least > leading.length))
      throw unsatisfiable(
        path,
        `it wants at least ${least} items and allows ${item === undefined ? leading.length : most}`,
      );
    const tails = new Map<number, Grammar>();
    // Behind `size` items; from the lower bound on, without an upper one, all lengths are alike.
    const behind = (size: number): Grammar => {
      const at =
        most === Number.POSITIVE_INFINITY ? Math.min(size, Math.max(least, leading.length, 1)) : size;
      let tail = tails.get(at);
      if (tail === undefined) {
        tail = lazy(() => {
          const options: Grammar[] = at >= least ? [bytes(']')] : [];
          const next = at < leading.length ? leading[at] : item;
          if (next !== undefined && at < most)
            options.push(sequence(...(at === 0 ? [] : [bytes(','), GAP]), next, behind(at + 1)));
          return choice(...options);
        });
        tails.set(at, tail);
      }
      return tail;
    };
    return sequence(bytes('['), behind(0));
  }

  private object(given: Keywords, path: string): Grammar {
    const properties = Object.entries(given.properties ?? {});
    const required = new Set(given.required ?? []);
    const missing = [...required].filter((name) => given.properties?.[name] === undefined);
    const additional = given.additionalProperties;
    if (missing.length > 0 && additional === false)
      throw unsatisfiable(path, `"${missing[0]}" is required and not allowed`);
    // What is required and not described may be anything, or what additional properties may be.
    const all = [
      ...properties.map(([name, schema]) => ({ name, schema, at: `${path}/properties/${name}` })),
      ...missing.map((name) => ({ name, schema: additional ?? true, at: `${path}/additionalProperties` })),
    ].filter(({ name, schema }) => schema !== false || required.has(name));
    if (all.length === 0) return this.map(given, path);
    if (given.propertyNames !== undefined)
      throw unsupported(path, '"propertyNames" beside named properties is not supported');
    const members = all.map(({ name, schema, at }) => ({
      must: required.has(name),
      member: sequence(bytes(`${JSON.stringify(name)}:`), GAP, this.compile(schema, at)),
    }));
    const tails = new Map<string, Grammar>();
    const behind = (index: number, first: boolean): Grammar => {
      const key = `${index}${first}`;
      let tail = tails.get(key);
      if (tail === undefined) {
        tail = lazy(() => {
          const options: Grammar[] = [];
          for (let next = index; next < members.length; next++) {
            const { must, member } = members[next] as (typeof members)[number];
            options.push(sequence(...(first ? [] : [bytes(','), GAP]), member, behind(next + 1, false)));
            if (must) return choice(...options);
          }
          return choice(bytes('}'), ...options);
        });
        tails.set(key, tail);
      }
      return tail;
    };
    return sequence(bytes('{'), behind(0, true));
  }

  /** An object with any keys; without described properties, so that no key is of two kinds. */
  private map(given: Keywords, path: string): Grammar {
    if (given.additionalProperties === false) return bytes('{}');
    const value = this.compile(given.additionalProperties ?? true, `${path}/additionalProperties`);
    const place = `${path}/propertyNames`;
    const names = given.propertyNames ?? true;
    if (names === false) return bytes('{}');
    const about = names === true ? {} : readKeywords(names, place);
    only(speaking(about), ['type', ...OF_TYPE.string], place);
    if (about.type !== undefined && ![about.type].flat().includes('string')) return bytes('{}');
    const key = sequence(bytes('"'), stringGrammar(about, place), bytes('"'));
    const member = sequence(key, bytes(':'), GAP, value);
    const more: Lazy = lazy(() => choice(bytes('}'), sequence(bytes(','), GAP, member, more)));
    return sequence(bytes('{'), choice(bytes('}'), sequence(member, more)));
  }

  private any(): Grammar {
    this.anything ??= lazy(() =>
      choice(
        this.map({}, ''),
        this.array({}, ''),
        sequence(bytes('"'), stringGrammar({}, ''), bytes('"')),
        machine(anyNumber),
        bytes('true'),
        bytes('false'),
        bytes('null'),
      ),
    );
    return this.anything;
  }

  private reference(to: string, path: string): Grammar {
    if (!to.startsWith('#'))
      throw unsupported(path, `"$ref" to ${JSON.stringify(to)}: only places within the schema are known`);
    let found = this.references.get(to);
    if (found === undefined) {
      const target = this.lookUp(to);
      if (target === undefined) throw invalid(path, `"$ref": there is nothing at ${to}`);
      found = lazy(() => this.compile(target, to.slice(1)));
      this.references.set(to, found);
      // Compiled now, so that what is wrong in it is said before anything is written.
      found.open();
    }
    return found;
  }

  private lookUp(pointer: string): unknown {
    let at = this.root;
    for (const part of pointer.slice(1).split('/').slice(1)) {
      const name = decoded(part).replaceAll('~1', '/').replaceAll('~0', '~');
      at =
        typeof at === 'object' && at !== null && Object.hasOwn(at, name) ? (at as Keywords)[name] : undefined;
    }
    return at;
  }
}

/** @param keyword that was dealt with */
function without(given: Keywords, keyword: string): Keywords {
  const { [keyword]: _, ...rest } = given;
  return rest;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
