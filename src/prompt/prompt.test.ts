/** Templates, typed variables, examples and whole prompts; what is wrong is told by name. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InkstoneError } from '../base/errors.ts';
import { compilePrompt, type PromptInput } from './definition.ts';
import { leadOf, PromptRenderer } from './render.ts';
import { ExampleSelector } from './select.ts';
import { bm25, byEmbedding } from './similarity.ts';
import { parseTemplate, renderTemplate } from './template.ts';

const render = (source: string, values: Record<string, unknown>): string =>
  renderTemplate(parseTemplate(source), values);

function errorOf(work: () => unknown): InkstoneError {
  try {
    work();
  } catch (thrown) {
    if (InkstoneError.is(thrown)) return thrown;
    throw thrown;
  }
  throw new InkstoneError('nothing_thrown', 'nothing was thrown');
}

describe('templates', () => {
  test.each([
    ['Hi {{name}}!', { name: 'Ann' }, 'Hi Ann!'],
    ['{{ a }}{{a}}', { a: 1.5 }, '1.51.5'],
    ['{{person.name.first}}', { person: { name: { first: 'Li' } } }, 'Li'],
    ['{{#list}}<{{.}}>{{/list}}', { list: ['a', 'b'] }, '<a><b>'],
    ['{{#rows}}{{k}}={{outer}} {{/rows}}', { rows: [{ k: 1 }, { k: 2 }], outer: 'x' }, '1=x 2=x '],
    ['{{#on}}yes{{/on}}{{^on}}no{{/on}}', { on: true }, 'yes'],
    ['{{#on}}yes{{/on}}{{^on}}no{{/on}}', { on: false }, 'no'],
    ['{{^none}}nothing{{/none}}', {}, 'nothing'],
    ['{{list}}', { list: [1, 2] }, '1, 2'],
    ['a{{! never shown }}b', {}, 'ab'],
    ['\\{{name}} {{name}}', { name: 1 }, '{{name}} 1'],
    // A tag alone on its line takes the line with it; beside text it does not.
    ['A:\n{{#list}}\n- {{.}}\n{{/list}}\nend', { list: ['x', 'y'] }, 'A:\n- x\n- y\nend'],
    ['  {{! note }}\nnext', {}, 'next'],
    ['{{#a}}{{#b}}{{c}}{{/b}}{{/a}}', { a: { b: { c: 'deep' } } }, 'deep'],
    ['{{名字}}，你好', { 名字: '李白' }, '李白，你好'],
  ])('%j', (source, values, expected) => {
    expect(render(source, values)).toBe(expected);
  });

  test('a value is never read as a template, and reaches nothing behind the values', () => {
    expect(render('{{a}}', { a: '{{b}} {{#c}}', b: 'secret' })).toBe('{{b}} {{#c}}');
    expect(render('[{{constructor}}{{a.length}}{{__proto__.x}}]', { a: 'text' })).toBe('[]');
  });

  test('text without braces is itself', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        fc.pre(!text.includes('{{'));
        expect(render(text, {})).toBe(text);
      }),
    );
  });

  test.each([
    ['Hi {{name', 'line 1, column 4'],
    ['a\n{{#list}}x', 'line 2, column 1'],
    ['{{/list}}', 'ends no section'],
    ['{{#a}}{{#b}}{{/a}}{{/b}}', '{{/a}} stands where {{/b}} is due'],
    ['{{}}', 'is no name'],
    ['{{two words}}', '"two words" is no name'],
    ['{{a..b}}', 'is no name'],
  ])('%j is refused', (source, said) => {
    const error = errorOf(() => parseTemplate(source));
    expect(error.code).toBe('template_invalid');
    expect(error.message).toContain(said);
  });
});

const typed: PromptInput = {
  text: '{{name}} {{age}} {{#tags}}[{{.}}]{{/tags}}{{#polite}} please{{/polite}} {{tone}} {{pet.kind}}',
  variables: {
    name: { type: 'string', maximum: 10 },
    age: { type: 'integer', minimum: 0 },
    tags: { type: 'list', of: { type: 'string' } },
    polite: { type: 'boolean', default: true },
    tone: { type: 'choice', values: ['warm', 'cold'], default: 'warm' },
    pet: { type: 'record', fields: { kind: { type: 'string' }, legs: { type: 'number', optional: true } } },
    note: { type: 'string', optional: true },
  },
};
const good = { name: 'Ann', age: 3, tags: ['a', 'b'], pet: { kind: 'cat' } };

describe('variables', () => {
  const renderer = new PromptRenderer(compilePrompt(typed));
  test('of every type, with defaults', async () => {
    expect((await renderer.render(good)).text).toBe('Ann 3 [a][b] please warm cat');
    expect((await renderer.render({ ...good, polite: false, tone: 'cold' })).text).toBe(
      'Ann 3 [a][b] cold cat',
    );
  });
  test.each([
    ['missing', { name: undefined }, 'variable_missing', 'name', 'the variable name is missing'],
    ['null', { age: null }, 'variable_missing', 'age', 'age is missing'],
    ['text for a number', { age: '3' }, 'variable_invalid', 'age', 'expects a whole number, got "3"'],
    ['a part', { age: 3.5 }, 'variable_invalid', 'age', 'a whole number, got 3.5'],
    ['too small', { age: -1 }, 'variable_invalid', 'age', 'got -1'],
    ['too long', { name: 'abcdefghijk' }, 'variable_invalid', 'name', 'got "abcdefghijk"'],
    ['no list', { tags: 'a' }, 'variable_invalid', 'tags', 'expects a list'],
    ['a wrong item', { tags: ['a', 4] }, 'variable_invalid', 'tags', 'tags.1'],
    ['a wrong field', { pet: { kind: 7 } }, 'variable_invalid', 'pet', 'pet.kind'],
    ['a missing field', { pet: {} }, 'variable_invalid', 'pet', 'pet.kind'],
    ['another choice', { tone: 'loud' }, 'variable_invalid', 'tone', 'one of warm, cold'],
    ['another name', { nam: 'x' }, 'variable_unknown', 'nam', 'no variable nam'],
  ])('%s', async (_, change, code, variable, said) => {
    const thrown = await renderer.render({ ...good, ...change }).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code, kind: 'usage', details: { variable } });
    expect((thrown as Error).message).toContain(said);
  });
  test('that are not declared are texts', async () => {
    const plain = new PromptRenderer(compilePrompt({ text: 'Q: {{question}}\nA:' }));
    expect((await plain.render({ question: 'Why?' })).text).toBe('Q: Why?\nA:');
    await expect(plain.render({})).rejects.toMatchObject({ code: 'variable_missing' });
    await expect(plain.render({ question: 'x', answer: 'y' }, { extra: true })).resolves.toBeDefined();
  });
});

const rows = [
  { question: 'capital of France', answer: 'Paris' },
  { question: 'capital of Japan', answer: 'Tokyo' },
  { question: 'two plus two', answer: 4 },
  { question: 'three plus one', answer: 4 },
  { question: '法国的首都', answer: '巴黎' },
];
const few = (examples: object): PromptInput => ({
  text: 'Answer.\n\n{{examples}}\n\nQ: {{question}}\nA:',
  variables: { question: { type: 'string' } },
  examples: { rows, format: 'Q: {{question}}\nA: {{answer}}', count: 2, ...examples },
});
const shown = async (examples: object, question: string, number?: number): Promise<unknown[]> =>
  (
    await new PromptRenderer(compilePrompt(few(examples))).render(
      { question },
      number === undefined ? {} : { number },
    )
  ).examples.map(({ answer }) => answer);

describe('examples', () => {
  test('fixed: the first, as they are written', async () => {
    const { text } = await new PromptRenderer(compilePrompt(few({}))).render({ question: 'why' });
    expect(text).toBe(
      'Answer.\n\nQ: capital of France\nA: Paris\n\nQ: capital of Japan\nA: Tokyo\n\nQ: why\nA:',
    );
  });
  test('a question is never among its own examples', async () => {
    expect(await shown({}, 'capital of France')).toEqual(['Tokyo', 4]);
  });
  test('random: by seed and question, each as often as any', async () => {
    const draw = (seed: number, number: number): Promise<unknown[]> =>
      shown({ select: 'random', seed }, 'why', number);
    expect(await draw(1, 0)).toEqual(await draw(1, 0));
    const selector = new ExampleSelector({
      rows: rows.map((_, id) => ({ id })),
      count: 1,
      select: 'random',
      seed: 5,
    });
    const counts = [0, 0, 0, 0, 0];
    for (let number = 0; number < 1000; number++) {
      const [pick] = (await selector.pick({ values: {}, number })) as { id: number }[];
      counts[pick?.id as number] = (counts[pick?.id as number] as number) + 1;
    }
    // Each 200 times: deviation √(1000·0.2·0.8) = 12.6.
    for (const count of counts) expect(Math.abs(count - 200)).toBeLessThan(4 * 12.6);
  });
  test('similar: the nearest last, by characters where no model is given', async () => {
    expect(await shown({ select: 'similar', by: 'question' }, 'the capital of Japan')).toEqual([
      'Paris',
      'Tokyo',
    ]);
    expect(await shown({ select: 'similar', by: 'question', count: 1 }, '日本的首都是')).toEqual(['巴黎']);
    expect(await shown({ select: 'similar', by: 'question', count: 1 }, 'one plus two')).toEqual([4]);
  });
  test('similar: by embeddings where somebody makes them', async () => {
    const embed = async (texts: readonly string[]): Promise<number[][]> =>
      texts.map((text) => [text.length, text.includes('plus') ? 100 : 0]);
    const renderer = new PromptRenderer(
      compilePrompt(few({ select: 'similar', by: 'question', count: 2 })),
      embed,
    );
    const { examples } = await renderer.render({ question: 'plus' });
    expect(examples.every(({ answer }) => answer === 4)).toBe(true);
    const similarity = await byEmbedding(['ab', 'plus'], embed);
    expect([...(await similarity.scores('plus'))][1]).toBeCloseTo(1, 12);
  });
  test('BM25 is its formula', async () => {
    // One text of one word of two letters: ' ab ' has the runs ' a', 'ab', 'b ', ' ab', 'ab '.
    const [score] = await bm25(['ab']).scores('ab');
    expect(score).toBeCloseTo(5 * Math.log(1 + 0.5 / 1.5), 12);
    const scores = await bm25(['ab', 'xy']).scores('ab');
    expect(scores[0]).toBeCloseTo(5 * Math.log(1 + 1.5 / 1.5), 12);
    expect(scores[1]).toBe(0);
  });
  test('as turns among turns', async () => {
    const prompt = compilePrompt({
      messages: [
        { role: 'system', content: 'Answer in {{language}}.' },
        { examples: true },
        { role: 'user', content: '{{question}}' },
      ],
      examples: {
        rows: rows.slice(0, 1),
        turns: [
          { role: 'user', content: '{{question}}' },
          { role: 'assistant', content: '{{answer}}' },
        ],
      },
    });
    const { messages, text } = await new PromptRenderer(prompt).render({
      language: 'French',
      question: 'why',
    });
    expect(text).toBeUndefined();
    expect(messages).toEqual([
      { role: 'system', content: 'Answer in French.' },
      { role: 'user', content: 'capital of France' },
      { role: 'assistant', content: 'Paris' },
      { role: 'user', content: 'why' },
    ]);
  });
});

test('what stands before the answer', () => {
  expect(leadOf(compilePrompt({ text: 'A:' }), 'A:')).toBe(' ');
  expect(leadOf(compilePrompt({ text: 'A:\n' }), 'A:\n')).toBe('');
  expect(leadOf(compilePrompt({ text: '答：', lead: '' }), '答：')).toBe('');
});

describe('a definition', () => {
  test.each<[string, unknown, string, string]>([
    ['without a text', {}, 'prompt_invalid', 'either a text or messages'],
    ['with both', { text: 'a', messages: [{ role: 'user', content: 'b' }] }, 'prompt_invalid', 'either'],
    ['with an unknown part', { text: 'a', temperature: 1 }, 'prompt_invalid', 'temperature'],
    ['with another role', { messages: [{ role: 'bot', content: 'b' }] }, 'prompt_invalid', 'messages.0'],
    ['with a broken template', { text: 'a {{' }, 'template_invalid', 'text: {{ has no }}'],
    [
      'with a misspelt variable',
      { text: '{{naem}}', variables: { name: { type: 'string' } } },
      'variable_undeclared',
      'naem',
    ],
    [
      'with a field that is not there',
      { text: '{{p.x}}', variables: { p: { type: 'record', fields: {} } } },
      'variable_undeclared',
      'p.x',
    ],
    [
      'that puts a record in',
      { text: '{{p}}', variables: { p: { type: 'record', fields: {} } } },
      'variable_undeclared',
      'is a record',
    ],
    ['with a wrong type', { text: 'a', variables: { a: { type: 'date' } } }, 'prompt_invalid', 'variables.a'],
    [
      'with a default of another type',
      { text: '{{a}}', variables: { a: { type: 'choice', values: ['x'], default: 'y' } } },
      'variable_invalid',
      'default',
    ],
    ['with examples but no place', { ...few({}), text: '{{question}}' }, 'examples_unplaced', 'no place'],
    ['with a place but no examples', { text: '{{examples}}' }, 'examples_unplaced', 'none'],
    [
      'with an example that lacks a field',
      few({ rows: [{ question: 'x' }] }),
      'example_invalid',
      'example 1: the variable answer',
    ],
    [
      'with an example of another type',
      few({ rows: [{ question: ['x'], answer: 'y' }] }),
      'example_invalid',
      'question',
    ],
    ['with similar examples by nothing', few({ select: 'similar' }), 'prompt_invalid', 'compare by'],
    [
      'with similar examples by an unknown variable',
      few({ select: 'similar', by: 'answer' }),
      'prompt_invalid',
      'no variable answer',
    ],
    ['with one choice', { text: 'a', choices: ['x'] }, 'prompt_invalid', 'choices'],
  ])('%s is refused', (_, value, code, said) => {
    const error = errorOf(() => compilePrompt(value));
    expect(`${error.code}: ${error.message}`).toContain(code);
    expect(error.message).toContain(said);
  });
});
