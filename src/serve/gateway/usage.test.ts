/** What is read from answers on their way: whole ones, streams in any pieces, and what is no usage although it looks like it. */
import { describe, expect, it } from 'vitest';
import { EventReader, usageIn, WholeReader } from './usage.ts';

describe('usage', () => {
  it.each([
    [{ usage: { prompt_tokens: 3, completion_tokens: 4 } }, { prompt: 3, completion: 4 }],
    [{ usage: { prompt_tokens: 3, total_tokens: 3 } }, { prompt: 3, completion: 0 }],
    [{ usage: { input_tokens: 5, output_tokens: 6 } }, { prompt: 5, completion: 6 }],
    [
      { type: 'response.completed', response: { usage: { input_tokens: 5 } } },
      { prompt: 5, completion: 0 },
    ],
  ])('is found in %j', (body, used) => expect(usageIn(body)).toEqual(used));

  it.each([
    [null],
    ['usage'],
    [{ usage: null }],
    [{ usage: 'much' }],
    [{ usage: { prompt_tokens: -5 } }],
    [{ usage: { prompt_tokens: '3' } }],
    [{ usage: { prompt_tokens: 1.5 } }],
    // A tool of the client's that is repeated in the answer.
    [{ tools: [{ usage: { prompt_tokens: 0 } }] }],
  ])('is not believed in %j', (body) => expect(usageIn(body)).toBeUndefined());
});

const chunk = (content: string, usage: object | null = null): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }], usage })}\n\n`;
const told = `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 2 } })}\n\n`;
const done = 'data: [DONE]\n\n';

/** In pieces of so many bytes. */
function through(reader: EventReader | WholeReader, text: string, size: number): string {
  const bytes = Buffer.from(text);
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) out.push(reader.take(bytes.subarray(at, at + size)));
  out.push(reader.end());
  return Buffer.concat(out).toString('utf8');
}

describe('a stream', () => {
  const text = `: comment\n\n${chunk('墨')}${chunk('"usage":{"prompt_tokens":0}')}${told}${done}`;
  it.each([1, 2, 3, 7, 64, 10_000])('is read in pieces of %d bytes, and all of it goes on', (size) => {
    const reader = new EventReader(false);
    expect(through(reader, text, size)).toBe(text);
    expect([reader.used, reader.pieces]).toEqual([{ prompt: 7, completion: 2 }, 2]);
  });

  it.each([1, 5, 10_000])('loses what the client did not ask for, in pieces of %d bytes', (size) => {
    const reader = new EventReader(true);
    expect(through(reader, text, size)).toBe(text.replace(told, ''));
    expect(reader.used).toEqual({ prompt: 7, completion: 2 });
  });

  it('with other line ends, without a last one, or cut off, is passed as it is', () => {
    const windows = text.replaceAll('\n', '\r\n');
    const reader = new EventReader(true);
    expect(through(reader, windows, 4)).toBe(windows.replace(told.replaceAll('\n', '\r\n'), ''));
    const cut = new EventReader(true);
    expect(through(cut, `${chunk('a')}data: {"cho`, 6)).toBe(`${chunk('a')}data: {"cho`);
    expect([cut.used, cut.pieces]).toEqual([undefined, 1]);
  });

  it('keeps usage that comes with content', () => {
    const reader = new EventReader(true);
    const both = chunk('a', { prompt_tokens: 1, completion_tokens: 1 });
    expect(through(reader, both + done, 9)).toBe(both + done);
    expect(reader.used).toEqual({ prompt: 1, completion: 1 });
  });

  it('that never ends an event is not kept for ever', () => {
    const reader = new EventReader(true);
    let passed = 0;
    for (let i = 0; i < 10; i++) passed += reader.take(Buffer.alloc(2 ** 20, 120)).length;
    expect(passed).toBeGreaterThan(8 * 2 ** 20);
  });
});

it('a whole answer goes on as it comes, and one that is too large is not read', () => {
  const text = JSON.stringify({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 2 } });
  const reader = new WholeReader();
  expect(through(reader, text, 5)).toBe(text);
  expect(reader.used).toEqual({ prompt: 7, completion: 2 });
  const large = new WholeReader();
  expect(through(large, text + ' '.repeat(9 * 2 ** 20), 2 ** 20).length).toBe(text.length + 9 * 2 ** 20);
  expect(large.used).toBeUndefined();
});
