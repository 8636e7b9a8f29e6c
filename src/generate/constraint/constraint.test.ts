/** Whatever a model prefers, a document under a schema is whole and valid when its tokens run out. */
import { Ajv2020 as Ajv } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InkstoneError } from '../../base/errors.ts';
import { Random } from '../../base/rng.ts';
import { argmax } from '../sampler.ts';
import { constraintGrammar } from './compile.ts';
import { bytes, Lengths, sequence } from './grammar.ts';
import { schemaGrammar } from './json-schema.ts';
import { ofPattern } from './pattern.ts';
import { TokenConstraint, TokenGrammar } from './token-constraint.ts';
import { TokenTree } from './vocabulary.ts';

/** Every byte, some longer tokens (across the borders of JSON's parts, inside of characters), and an end of text. */
const encoder = new TextEncoder();
const LONGER = [
  '{"',
  '":',
  '": ',
  '",',
  '", "',
  '"}',
  '}]',
  '],',
  '12',
  '0.',
  '-1',
  'true',
  'null}',
  '\\n',
  '\\u00',
  'é',
  '中',
  '文字',
  ' the',
  'name',
  '🙂',
];
const TOKENS = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...LONGER.map((text) => encoder.encode(text)),
  Uint8Array.of(0xe4, 0xb8),
  Uint8Array.of(),
];
const END = TOKENS.length - 1;
const bytesOf = (id: number): Uint8Array => TOKENS[id] as Uint8Array;
const tree = new TokenTree(TOKENS.length, bytesOf);

/** A text by a "model" of random preferences; as far as it came. */
function write(
  grammar: TokenGrammar,
  seed: number,
  maxTokens: number,
  endOfText: number | undefined = END,
): { text: string; complete: boolean } {
  const constraint = new TokenConstraint(grammar, { endOfText, maxTokens });
  const random = new Random(seed, 'preferences');
  const out: number[] = [];
  let complete = constraint.complete;
  for (let step = 0; step < maxTokens && !complete; step++) {
    const logits = Float32Array.from(TOKENS, () => random.normal());
    constraint.process(logits);
    const id = argmax(logits);
    if (id === endOfText) complete = true;
    else {
      constraint.push(id);
      out.push(...bytesOf(id));
      complete = constraint.complete;
    }
  }
  return { text: new TextDecoder('utf-8').decode(Uint8Array.from(out)), complete };
}

const compiled = (schema: unknown): TokenGrammar => new TokenGrammar(schemaGrammar(schema), tree);
/** A whole document. */
function document(schema: unknown, seed: number, maxTokens: number): unknown {
  const { text, complete } = write(compiled(schema), seed, maxTokens);
  expect(complete, text).toBe(true);
  return JSON.parse(text);
}

const word = fc.stringMatching(/^[a-z]{1,6}$/);
const leaf = fc.oneof(
  fc.constantFrom<object>({ type: 'boolean' }, { type: 'null' }, { type: 'integer' }, { type: 'number' }, {}),
  fc
    .record({ low: fc.integer({ min: -5000, max: 5000 }), size: fc.integer({ min: 0, max: 3000 }) })
    .map(({ low, size }) => ({ type: 'integer', minimum: low, maximum: low + size })),
  fc
    .record({
      low: fc.double({ min: -50, max: 50, noNaN: true }),
      size: fc.double({ min: 0.01, max: 30, noNaN: true }),
      out: fc.boolean(),
    })
    .map(({ low, size, out }) =>
      out
        ? { type: 'number', exclusiveMinimum: low, exclusiveMaximum: low + size }
        : { type: 'number', minimum: low, maximum: low + size },
    ),
  fc
    .record({ from: fc.integer({ min: 0, max: 6 }), more: fc.integer({ min: 0, max: 8 }) })
    .map(({ from, more }) => ({ type: 'string', minLength: from, maxLength: from + more })),
  fc.constantFrom<object>(
    { type: 'string' },
    { type: 'string', pattern: '^[A-Z]{2}-\\d{2,4}$' },
    { type: 'string', pattern: '^(?:"[^"\\\\]*"|é+|\\n)$', maxLength: 9 },
    { type: 'string', pattern: 'ab' },
    { type: ['string', 'null'] },
  ),
  fc
    .array(fc.oneof(word, fc.integer(), fc.constant(null)), { minLength: 1, maxLength: 4 })
    .map((values) => ({ enum: values })),
);
const schemas = fc.letrec<{ any: object }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    leaf,
    fc
      .record({
        items: tie('any'),
        least: fc.integer({ min: 0, max: 3 }),
        more: fc.integer({ min: 0, max: 3 }),
        open: fc.boolean(),
      })
      .map(({ items, least, more, open }) => ({
        type: 'array',
        items,
        minItems: least,
        ...(open ? {} : { maxItems: least + more }),
      })),
    fc
      .record({
        properties: fc.dictionary(word, tie('any'), { maxKeys: 4 }),
        must: fc.boolean(),
        closed: fc.boolean(),
      })
      .map(({ properties, must, closed }) => ({
        type: 'object',
        properties,
        required: Object.keys(properties).filter((_, i) => must || i % 2 === 0),
        ...(closed ? { additionalProperties: false } : {}),
      })),
    tie('any').map((value) => ({ type: 'object', additionalProperties: value })),
    fc.array(tie('any'), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
  ),
})).any;

describe('documents under a schema', () => {
  it('are valid whatever the model prefers and however few tokens there are', () => {
    fc.assert(
      fc.property(
        schemas,
        fc.integer({ min: 0, max: 1e6 }),
        fc.integer({ min: 0, max: 60 }),
        fc.boolean(),
        (schema, seed, more, ends) => {
          const grammar = compiled(schema);
          const { text, complete } = write(grammar, seed, grammar.start.least + more, ends ? END : undefined);
          const check = new Ajv({ strict: false, logger: false }).compile(schema);
          expect(complete, text).toBe(true);
          expect(check(JSON.parse(text)), `${text} under ${JSON.stringify(schema)}`).toBe(true);
        },
      ),
      { numRuns: 100 },
    );
    // Seconds of work; a machine with other work may take minutes.
  }, 300_000);

  it.each([
    ['date', /^\d{4}-\d{2}-\d{2}$/],
    ['date-time', /T/],
    ['uuid', /^[0-9a-f-]{36}$/],
    ['email', /@/],
    ['ipv4', /\./],
    ['uri', /^https?:/],
    ['time', /Z$/],
    ['hostname', /[a-z]/],
    ['duration', /^P/],
  ])('of the format %s', (format, looks) => {
    for (let seed = 0; seed < 5; seed++) {
      const value = document({ type: 'string', format }, seed, 120) as string;
      expect(value).toMatch(looks);
      if (format.startsWith('date')) expect(Number.isNaN(Date.parse(value))).toBe(false);
    }
  });

  it('follow references, to themselves too', () => {
    const schema = {
      $defs: {
        tree: {
          type: 'object',
          properties: {
            value: { type: 'integer' },
            children: { type: 'array', items: { $ref: '#/$defs/tree' } },
          },
          required: ['value', 'children'],
          additionalProperties: false,
        },
      },
      $ref: '#/$defs/tree',
    };
    const check = new Ajv({ strict: false }).compile(schema);
    for (let seed = 0; seed < 20; seed++) expect(check(document(schema, seed, 90))).toBe(true);
  });

  it('know oneOf where a property tells the alternatives apart', () => {
    const of = (kind: string, type: string) => ({
      type: 'object',
      properties: { kind: { const: kind }, value: { type } },
      required: ['kind', 'value'],
    });
    const schema = { oneOf: [of('a', 'integer'), of('b', 'boolean')] };
    const check = new Ajv({ strict: false }).compile(schema);
    for (let seed = 0; seed < 20; seed++) expect(check(document(schema, seed, 80))).toBe(true);
  });

  it('can begin in the middle of other text', () => {
    const grammar = sequence(bytes('<call>'), schemaGrammar({ type: 'integer' }), bytes('</call>'));
    expect(new Lengths(grammar).of(grammar)).toBe(14);
    expect(write(new TokenGrammar(grammar, tree), 3, 40).text).toMatch(/^<call>-?\d+<\/call>$/);
  });
});

describe('what is refused', () => {
  const code = (schema: unknown): string => {
    try {
      schemaGrammar(schema);
    } catch (thrown) {
      return InkstoneError.is(thrown) ? thrown.code : String(thrown);
    }
    return 'nothing';
  };
  it.each([
    ['a keyword that cannot be kept to', { type: 'array', uniqueItems: true }, 'schema_unsupported'],
    ['a number that must be a multiple', { type: 'number', multipleOf: 0.1 }, 'schema_unsupported'],
    ['an unknown format', { type: 'string', format: 'iri' }, 'schema_unsupported'],
    ['a pattern that looks ahead', { type: 'string', pattern: '(?=a)b' }, 'schema_unsupported'],
    ['alternatives that overlap', { oneOf: [{ type: 'integer' }, { type: 'number' }] }, 'schema_unsupported'],
    ['another document', { $ref: 'https://example.org/x.json' }, 'schema_unsupported'],
    ['nothing', false, 'schema_unsatisfiable'],
    ['bounds that exclude each other', { type: 'integer', minimum: 3, maximum: 2 }, 'schema_unsatisfiable'],
    ['no whole number between', { type: 'integer', minimum: 1.2, maximum: 1.8 }, 'schema_unsatisfiable'],
    [
      'lengths that exclude each other',
      { type: 'string', minLength: 3, maxLength: 2 },
      'schema_unsatisfiable',
    ],
    ['counts that exclude each other', { type: 'array', minItems: 3, maxItems: 2 }, 'schema_unsatisfiable'],
    [
      'a pattern too long for the length',
      { type: 'string', pattern: '^a{5}$', maxLength: 3 },
      'schema_unsatisfiable',
    ],
    ['values of another type', { type: 'string', enum: [1, 2] }, 'schema_unsatisfiable'],
    [
      'a required property that is not allowed',
      { type: 'object', properties: {}, required: ['a'], additionalProperties: false },
      'schema_unsatisfiable',
    ],
    [
      'a document without an end',
      { $defs: { a: { type: 'array', items: { $ref: '#/$defs/a' }, minItems: 1 } }, $ref: '#/$defs/a' },
      'schema_unsatisfiable',
    ],
    ['a place that is not there', { $ref: '#/$defs/b' }, 'schema_invalid'],
    ['an unknown type', { type: 'text' }, 'schema_invalid'],
    ['no schema', 3, 'schema_invalid'],
  ])('%s', (_, schema, expected) => {
    expect(code(schema)).toBe(expected);
  });

  it('a vocabulary without the letters', () => {
    const letters = new TokenTree(26, (id) => Uint8Array.of(97 + id));
    expect(() => new TokenGrammar(schemaGrammar({ type: 'object' }), letters)).toThrow(
      expect.objectContaining({ code: 'constraint_unwritable' }),
    );
  });
});

describe('room', () => {
  it('too little for any document: the shortest way, cut', () => {
    const grammar = compiled({ type: 'array', items: { type: 'integer' }, minItems: 4 });
    const { text, complete } = write(grammar, 1, 6);
    expect(complete).toBe(false);
    expect(text).toMatch(/^\[\d,/);
  });

  it('is counted in tokens where the text is known', () => {
    // {, ", name, ":, 12, }: a byte each would not leave room for it.
    const grammar = compiled({ type: 'object', properties: { name: { const: 12 } }, required: ['name'] });
    expect(grammar.start.least).toBe(6);
    for (let seed = 0; seed < 20; seed++)
      expect(JSON.parse(write(grammar, seed, 6).text)).toEqual({ name: 12 });
  });
});

describe('patterns', () => {
  it.each([
    '^a(?:b|c)*d$',
    '^[^a-c]{2}$',
    'x?y+',
    '^\\w+\\s\\d{2,3}$',
    '^(?:foo|ba[rz])$',
    '.*end$',
    '^\\u00e9\\x41$',
    '^[\\]\\-a]+$',
  ])('%s agrees with RegExp', (source) => {
    const automaton = ofPattern(source);
    const accepts = (text: string): boolean => {
      let state = automaton.start;
      for (const character of text) {
        state = automaton.next(state, character.codePointAt(0) as number);
        if (state < 0) return false;
      }
      return automaton.final(state);
    };
    const expression = new RegExp(source, 'u');
    const samples = fc.oneof(
      fc.stringMatching(expression),
      fc.string({ unit: fc.constantFrom(...'abcdxyz09 _-]éA\nefnor') }),
    );
    fc.assert(
      fc.property(samples, (text) => {
        expect(accepts(text), JSON.stringify(text)).toBe(expression.test(text));
      }),
    );
  });
});

describe('expressions', () => {
  it.each(['(?:yes|no)', '[0-9]{3}-[a-z]+', '"é*\\n\\\\"'])('%s is matched as a whole', (pattern) => {
    const grammar = new TokenGrammar(constraintGrammar({ type: 'regex', pattern }), tree);
    for (let seed = 0; seed < 20; seed++) {
      const { text, complete } = write(grammar, seed, 12);
      expect(complete).toBe(true);
      expect(text).toMatch(new RegExp(`^(?:${pattern})$`, 'u'));
    }
  });
});
