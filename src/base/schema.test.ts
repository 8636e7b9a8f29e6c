/** Fields, flags, environment and messages from one schema. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InkstoneError } from './errors.ts';
import { readEnvironment, readWords } from './flags.ts';
import { editDistance, nearest } from './nearest.ts';
import { fields, jsonSchema, kebab, read, readSettings, z } from './schema.ts';

const schema = z.object({
  data: z.string().min(1).describe('text to learn from'),
  steps: z.int().min(1).max(1000).default(100).describe('training steps').meta({ alias: 'n' }),
  learningRate: z.number().positive().optional(),
  device: z.enum(['cpu', 'webgpu']).default('cpu'),
  resume: z.boolean().default(false),
  stop: z.array(z.string()).max(3).optional(),
  topK: z.union([z.int(), z.literal('all')]).optional(),
  secret: z.string().optional().meta({ environment: false }),
});
const all = fields(schema);

function problem(work: () => unknown): InkstoneError {
  try {
    work();
  } catch (thrown) {
    if (InkstoneError.is(thrown)) return thrown;
    throw thrown;
  }
  throw new Error('nothing was thrown');
}

function parse(words: string[]): Record<string, unknown> {
  const { values, rest } = readWords(all, words);
  expect(rest).toEqual([]);
  return read(schema, values, (key) => `--${kebab(key)}`) as Record<string, unknown>;
}

describe('fields', () => {
  test('come in the order of the schema with all that a form needs', () => {
    expect(all.map((f) => f.flag)).toEqual([
      'data',
      'steps',
      'learning-rate',
      'device',
      'resume',
      'stop',
      'top-k',
      'secret',
    ]);
    expect(all[0]).toMatchObject({ kind: 'string', required: true, description: 'text to learn from' });
    expect(all[1]).toMatchObject({
      kind: 'integer',
      required: false,
      default: 100,
      minimum: 1,
      maximum: 1000,
      alias: 'n',
    });
    expect(all[2]).toMatchObject({ kind: 'number', environment: 'INKSTONE_LEARNING_RATE', required: false });
    expect(all[3]).toMatchObject({ kind: 'choice', choices: ['cpu', 'webgpu'] });
    expect(all[5]).toMatchObject({ kind: 'string', list: true });
    expect(all[7]?.environment).toBeUndefined();
    expect(fields(schema)).toBe(all);
  });

  test('an unbounded whole number has no bounds to print', () => {
    expect(fields(z.object({ n: z.int() }))[0]).toMatchObject({
      kind: 'integer',
      minimum: undefined,
      maximum: undefined,
    });
  });

  test('a JSON Schema for forms is plain JSON', () => {
    const form = jsonSchema(schema);
    expect(JSON.parse(JSON.stringify(form))).toEqual(form);
    expect(form).toMatchObject({ type: 'object', required: ['data'] });
  });
});

describe('words', () => {
  test('become values of their kind', () => {
    expect(
      parse([
        '--data',
        'a.txt',
        '-n',
        '7',
        '--learning-rate=1e-3',
        '--resume',
        '--stop',
        'a',
        '--stop=b',
        '--top_k',
        '5',
      ]),
    ).toEqual({
      data: 'a.txt',
      steps: 7,
      learningRate: 0.001,
      device: 'cpu',
      resume: true,
      stop: ['a', 'b'],
      topK: 5,
    });
    expect(parse(['--data', '5', '--no-resume', '--top-k', 'all'])).toMatchObject({
      data: '5',
      resume: false,
      topK: 'all',
    });
    expect(parse(['--data', '-5', '--resume=false'])).toMatchObject({ data: '-5', resume: false });
    expect(parse(['--data=a=b'])).toMatchObject({ data: 'a=b' });
    expect(parse(['--data', '--looks-like-a-flag'])).toMatchObject({ data: '--looks-like-a-flag' });
  });

  test('without flags are kept in order, and -- ends the flags', () => {
    expect(readWords(all, ['x', '--resume', '-', '-1.5', '--', '--steps', '2']).rest).toEqual([
      'x',
      '-',
      '-1.5',
      '--steps',
      '2',
    ]);
  });

  test.each([
    [['--stpes', '3'], 'unknown_flag', /--stpes/, /did you mean --steps/],
    [['--entirely-different'], 'unknown_flag', /unknown flag/, undefined],
    [['-q'], 'unknown_flag', /-q/, undefined],
    [['--data'], 'missing_value', /--data needs a value/, /text/],
    [['--data', '--steps', '3'], 'missing_value', /--data needs a value/, undefined],
    [['--data', 'a', '--data', 'b'], 'repeated_flag', /twice/, undefined],
    [['--no-resume=true'], 'unexpected_value', /takes no value/, undefined],
    [['--no-data'], 'unknown_flag', /--no-data/, undefined],
    [[], 'invalid_input', /^--data is required$/, undefined],
    [['--data', ''], 'invalid_input', /--data must not be empty/, undefined],
    [
      ['--data', 'a', '--steps', 'many'],
      'invalid_input',
      /--steps expects a whole number, got "many"/,
      undefined,
    ],
    [['--data', 'a', '--steps', ''], 'invalid_input', /--steps expects a whole number/, undefined],
    [['--data', 'a', '--steps', '0x10'], 'invalid_input', /--steps expects a whole number/, undefined],
    [
      ['--data', 'a', '--steps', '1.5'],
      'invalid_input',
      /--steps expects a whole number, got 1.5/,
      undefined,
    ],
    [['--data', 'a', '--steps', '0'], 'invalid_input', /--steps must be at least 1, got 0/, undefined],
    [['--data', 'a', '--steps', '1001'], 'invalid_input', /--steps must be at most 1000/, undefined],
    [
      ['--data', 'a', '--learning-rate', '0'],
      'invalid_input',
      /--learning-rate must be more than 0/,
      undefined,
    ],
    [['--data', 'a', '--learning-rate', '1e999'], 'invalid_input', /--learning-rate/, undefined],
    [
      ['--data', 'a', '--device', 'cup'],
      'invalid_input',
      /one of cpu, webgpu, got "cup"/,
      /did you mean cpu/,
    ],
    [
      ['--data', 'a', '--resume=maybe'],
      'invalid_input',
      /--resume expects true or false, got "maybe"/,
      undefined,
    ],
    [
      ['--data', 'a', ...['1', '2', '3', '4'].flatMap((s) => ['--stop', s])],
      'invalid_input',
      /3 times at most/,
      undefined,
    ],
    [
      ['--data', 'a', '--top-k', 'some'],
      'invalid_input',
      /--top-k has a form that is not accepted/,
      undefined,
    ],
  ])('%j are refused', (words, code, message, hint) => {
    const error = problem(() => parse(words));
    expect(error.code).toBe(code);
    expect(error.kind).toBe('usage');
    expect(error.exitStatus).toBe(2);
    expect(error.message).toMatch(message);
    if (hint !== undefined) expect(error.hint).toMatch(hint);
  });

  test('never crash, whatever comes', () => {
    const word = fc.oneof(
      fc.string(),
      fc.constantFrom('--data', '--steps', '-n', '--', '--no-resume', '=', '--=', '--stop=', '1e5'),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (words) => {
        try {
          read(schema, readWords(all, words).values);
        } catch (thrown) {
          if (!InkstoneError.is(thrown) || thrown.kind !== 'usage') throw thrown;
        }
      }),
    );
  });
});

describe('environment and files', () => {
  test('the environment is read by name, lists by comma', () => {
    const variables: Record<string, string> = {
      INKSTONE_STEPS: '5',
      INKSTONE_STOP: 'a, b',
      INKSTONE_RESUME: 'yes',
      INKSTONE_SECRET: 'x',
    };
    expect(readEnvironment(all, (name) => variables[name])).toEqual({
      steps: 5,
      stop: ['a', 'b'],
      resume: true,
    });
  });

  test('a file may write keys as properties or flags, but not wrongly', () => {
    expect(readSettings(schema, { learningRate: 1, 'top-k': 3, top_k: 4 })).toEqual({
      learningRate: 1,
      topK: 4,
    });
    expect(problem(() => readSettings(schema, { lerningRate: 1 })).hint).toBe('did you mean learning-rate?');
    for (const value of [null, [], 'x', 5])
      expect(problem(() => readSettings(schema, value)).code).toBe('invalid_input');
  });

  test('a body is checked with its parameter named', () => {
    const error = problem(() => read(schema, { data: 5, steps: -1 }));
    expect(error.message).toBe('data expects text, got 5; steps must be at least 1, got -1');
    expect(error.details).toMatchObject({ param: 'data', fields: { data: 'data expects text, got 5' } });
    expect(error.httpStatus).toBe(400);
    const nested = problem(() =>
      read(z.object({ messages: z.array(z.object({ role: z.string() })) }), { messages: [{}] }),
    );
    expect(nested.details.param).toBe('messages.0.role');
    expect(nested.message).toBe('messages.0.role is required');
    expect(problem(() => read(schema, null)).message).toMatch(/the input expects a JSON object, got null/);
  });
});

describe('nearest', () => {
  test('counts slips of the hand', () => {
    expect(editDistance('stpes', 'steps')).toBe(1);
    expect(editDistance('', 'abc')).toBe(3);
    expect(nearest('serv', ['serve', 'train', 'score'])).toBe('serve');
    expect(nearest('gen', ['generate', 'export'])).toBe('generate');
    expect(nearest('xyz', ['serve', 'train'])).toBeUndefined();
    expect(nearest('a', [])).toBeUndefined();
  });
});
