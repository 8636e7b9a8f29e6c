/** Calls in a text are found wherever the text is cut into pieces, and what is no call stays text. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type TextPart, ToolCallParser } from './tool-parser.ts';

interface Read {
  text: string;
  calls: { name: string; arguments: string }[];
}

function read(
  text: string,
  options: { forced?: boolean; parallel?: boolean; piece?: number; cut?: boolean } = {},
): Read {
  const { forced = false, parallel = true, piece = text.length || 1, cut = false } = options;
  const parser = new ToolCallParser({ names: new Set(['weather', 'time']), forced, parallel });
  const parts: TextPart[] = [];
  for (let at = 0; at < text.length; at += piece) parts.push(...parser.push(text.slice(at, at + piece)));
  parts.push(...parser.end(cut));
  const result: Read = { text: '', calls: [] };
  for (const part of parts) {
    if (part.type === 'text') result.text += part.text;
    else if (part.type === 'call') result.calls.push({ name: part.name, arguments: '' });
    else (result.calls.at(-1) as { arguments: string }).arguments += part.text;
  }
  return result;
}

const call = (name: string, given: string): string =>
  `<tool_call>\n{"name": "${name}", "arguments": ${given}}\n</tool_call>`;
const paris = '{"city": "Paris", "days": [1, {"a": "}\\""}]}';

const cases: [string, string, Read][] = [
  ['nothing', '', { text: '', calls: [] }],
  ['text alone', 'a < b <tool and <tool_calls> ', { text: 'a < b <tool and <tool_calls> ', calls: [] }],
  ['one call', call('weather', paris), { text: '', calls: [{ name: 'weather', arguments: paris }] }],
  [
    'text, then two calls',
    `Let me see.\n\n${call('weather', paris)}\n${call('time', '{}')}\n`,
    {
      text: 'Let me see.',
      calls: [
        { name: 'weather', arguments: paris },
        { name: 'time', arguments: '{}' },
      ],
    },
  ],
  [
    'text behind a call',
    `${call('time', '{}')}\n\nThere.`,
    { text: 'There.', calls: [{ name: 'time', arguments: '{}' }] },
  ],
  [
    'arguments first',
    '<tool_call>{"arguments": {"x": 1}, "name": "time"}</tool_call>',
    { text: '', calls: [{ name: 'time', arguments: '{"x":1}' }] },
  ],
  [
    'parameters for arguments, and no spaces',
    '<tool_call>{"name":"time","parameters":{"x":1}}</tool_call>',
    { text: '', calls: [{ name: 'time', arguments: '{"x":1}' }] },
  ],
  [
    'arguments as a string of JSON',
    '<tool_call>{"name": "time", "arguments": "{\\"x\\": 1}"}</tool_call>',
    { text: '', calls: [{ name: 'time', arguments: '{"x": 1}' }] },
  ],
  [
    'no arguments',
    '<tool_call>{"name": "time"}</tool_call>',
    { text: '', calls: [{ name: 'time', arguments: '{}' }] },
  ],
  ['null for arguments', call('time', 'null'), { text: '', calls: [{ name: 'time', arguments: '{}' }] }],
  [
    'a forgotten end',
    `<tool_call>{"name": "time", "arguments": {}} ${call('weather', paris)}`,
    {
      text: '',
      calls: [
        { name: 'time', arguments: '{}' },
        { name: 'weather', arguments: paris },
      ],
    },
  ],
  [
    'a function that nobody offered',
    `a ${call('rm', '{"x": 1}')} b`,
    { text: `a ${call('rm', '{"x": 1}')} b`, calls: [] },
  ],
  ['no JSON', 'a<tool_call>{oops</tool_call>b', { text: 'a<tool_call>{oops</tool_call>b', calls: [] }],
  ['a mark without an end', 'a<tool_call>{oops', { text: 'a<tool_call>{oops', calls: [] }],
  [
    'the mark inside of an argument',
    call('time', '{"x": "</tool_call><tool_call>"}'),
    { text: '', calls: [{ name: 'time', arguments: '{"x": "</tool_call><tool_call>"}' }] },
  ],
];

describe('a text with', () => {
  it.each(cases)('%s', (_, text, expected) => {
    for (const piece of [1, 2, 3, 7, 1000])
      expect(read(text, { piece }), `in pieces of ${piece}`).toEqual(expected);
  });

  it('any content gives the same in any pieces', () => {
    const bits = fc.constantFrom(
      '<tool_call>',
      '</tool_call>',
      '{"name": "time", "arguments": ',
      '{"a": 1}',
      '{',
      '}',
      '"',
      ' ',
      'x',
      '<',
      '\\',
    );
    fc.assert(
      fc.property(fc.array(bits, { maxLength: 12 }), fc.integer({ min: 1, max: 9 }), (given, piece) => {
        const text = given.join('');
        expect(read(text, { piece })).toEqual(read(text));
      }),
    );
  });
});

describe('a call', () => {
  it('that is cut keeps its beginning, and is nothing before its name is there', () => {
    const text = call('weather', paris);
    expect(read(text.slice(0, 56), { cut: true }).calls).toEqual([
      { name: 'weather', arguments: '{"city": "P' },
    ]);
    expect(read(text.slice(0, 25), { cut: true })).toEqual({ text: '', calls: [] });
  });
  it('that was forced needs no marks', () => {
    const text = `{"name": "weather", "arguments": ${paris}}`;
    for (const piece of [1, 4, 100])
      expect(read(text, { forced: true, piece })).toEqual({
        ...{ text: '', calls: [{ name: 'weather', arguments: paris }] },
      });
    expect(read('{"na', { forced: true, cut: true })).toEqual({ text: '', calls: [] });
    expect(read('sorry', { forced: true })).toEqual({ text: 'sorry', calls: [] });
  });
  it('is the only one where one is wanted', () => {
    const text = `${call('weather', paris)}${call('time', '{}')}`;
    expect(read(text, { parallel: false }).calls.map(({ name }) => name)).toEqual(['weather']);
  });
});
