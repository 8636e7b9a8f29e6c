/** A second attempt at an answer: what was given out is heard again and kept back, and another answer is told from it. */
import { describe, expect, it } from 'vitest';
import type { TextEvent } from '../../base/contracts/generator.ts';
import { Said } from './said.ts';

const delta = (text: string): TextEvent => ({ type: 'delta', text, tokens: [] });
const start: TextEvent = { type: 'start', promptTokens: 1 };
const end: TextEvent = { type: 'end', reason: 'length', completionTokens: 2 };

function lostAfter(...events: TextEvent[]): Said {
  const said = new Said();
  for (const event of events) expect(said.judge(event)).toBe('give');
  said.again();
  return said;
}

describe('what was said', () => {
  it('is kept back the second time, and what follows is given', () => {
    const said = lostAfter(start, delta('a'), delta('b'));
    const second = [start, delta('a'), delta('b'), delta('c'), end].map((event) => said.judge(event));
    expect(second).toEqual(['keep', 'keep', 'keep', 'give', 'give']);
  });

  it('was nothing yet: all of the second attempt is given', () => {
    const said = lostAfter();
    expect([start, delta('a'), end].map((event) => said.judge(event))).toEqual(['give', 'give', 'give']);
  });

  it.each<[string, TextEvent]>([
    ['another piece', delta('x')],
    ['the same piece with other tokens', { type: 'delta', text: 'a', tokens: [tokenOf('a')] }],
    ['an end before all was said', end],
  ])('differs at %s', (_, event) => {
    const said = lostAfter(start, delta('a'), delta('b'));
    expect(said.judge(start)).toBe('keep');
    expect(said.judge(event)).toBe('differs');
  });
});

function tokenOf(token: string) {
  return { token, bytes: [97], logprob: -1, top: [] };
}
