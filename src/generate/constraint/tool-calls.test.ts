/** Text that may call tools: whatever a model prefers, its calls are whole, valid, and between their marks. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TextConstraint } from '../../base/contracts/generator.ts';
import { Random } from '../../base/rng.ts';
import { argmax } from '../sampler.ts';
import { Constraints } from './constraints.ts';
import { accepts } from './grammar.ts';
import { constraintGrammar } from './index.ts';

const [open, close] = ['<call>', '</call>'];
const encoder = new TextEncoder();
const TOKENS = [
  ...Array.from({ length: 128 }, (_, byte) => Uint8Array.of(byte)),
  ...[open, `${close}\n`, '<ca', '{"name": "', '"}', 'l><', '<call><'].map((text) => encoder.encode(text)),
  new Uint8Array(0),
];
const END = TOKENS.length - 1;
const bytesOf = (id: number): Uint8Array => TOKENS[id] as Uint8Array;
const schema = {
  ...{ type: 'object', required: ['name', 'arguments'], additionalProperties: false },
  properties: { name: { enum: ['a', 'b'] }, arguments: { type: 'integer', minimum: 0, maximum: 99 } },
};
const constraint = { type: 'tool_calls', open, close, schema, parallel: true } as const;

/** By a "model" of random preferences that likes to call. */
function write(
  given: TextConstraint,
  seed: number,
  maxTokens: number,
  endOfText: number | undefined,
): string {
  const one = new Constraints({ size: TOKENS.length, bytesOf, endOfText }).open(given, maxTokens);
  const random = new Random(seed, 'preferences');
  const bytes: number[] = [];
  for (let n = 0; n < maxTokens && !one.complete; n++) {
    const logits = Float32Array.from(TOKENS, (_, id) => random.uniform() + (id >= 128 && id < END ? 0.3 : 0));
    one.process(logits);
    const id = argmax(logits);
    if (id === endOfText) break;
    one.push(id);
    bytes.push(...bytesOf(id));
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

/** Text in front of the calls, and the calls; throws where one is not whole. */
function split(text: string): { said: string; calls: unknown[] } {
  const [said = '', ...rest] = text.split(open);
  return {
    said,
    calls: rest.map((part) => {
      const at = part.indexOf(close);
      expect(at, text).toBeGreaterThan(0);
      expect(part.slice(at + close.length).trim(), text).toBe('');
      return JSON.parse(part.slice(0, at));
    }),
  };
}

describe('a text with calls', () => {
  it.each([END, undefined])('holds only valid ones (end of text %s)', (endOfText) => {
    let called = 0;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 1, max: 120 }), (seed, most) => {
        const { calls } = split(write(constraint, seed, most, endOfText));
        called += calls.length;
        for (const call of calls as { name: string; arguments: number }[]) {
          expect(['a', 'b']).toContain(call.name);
          expect(call.arguments).toBeGreaterThanOrEqual(0);
        }
      }),
      { seed: 5, numRuns: 100 },
    );
    expect(called).toBeGreaterThan(50);
  });

  it('is a document or calls where a document was asked for', () => {
    const text = {
      type: 'json_schema',
      schema: { type: 'object', properties: { x: { const: 1 } }, required: ['x'] },
    } as const;
    const kinds = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      const made = write({ ...constraint, text }, seed, 150, END);
      const { said, calls } = split(made);
      kinds.add(calls.length > 0 ? 'calls' : 'document');
      if (calls.length === 0) expect((JSON.parse(said) as { x: number }).x).toBe(1);
      else expect(said).toBe('');
    }
    expect([...kinds].sort()).toEqual(['calls', 'document']);
  });
});

describe('the grammar', () => {
  const call = (name: string, given: string): string =>
    `${open}{"name": "${name}", "arguments": ${given}}${close}`;
  const takes = (text: string, more: object = {}): boolean =>
    accepts(constraintGrammar({ ...constraint, ...more }), text);
  it.each([
    ['', true],
    ['a <call and < b <cal', true],
    [`text ${call('a', '5')}`, true],
    [`<<call>{"name": "a", "arguments": 1}${close}`, true],
    [`${call('a', '5')}\n${call('b', '0')}`, true],
    [`${call('a', '5')} and more`, false],
    [call('c', '5'), false],
    [call('a', '500'), false],
    [open, false],
  ])('takes %j: %s', (text, expected) => expect(takes(text)).toBe(expected));
  it('takes one call where one is wanted', () => {
    const two = `${call('a', '5')}${call('b', '0')}`;
    expect([takes(two), takes(two, { parallel: false })]).toEqual([true, false]);
  });
});
