import { describe, expect, test } from 'vitest';
import { CharacterTokenizer } from '../tokenizer/characters.ts';
import { examineAsConversations, examineAsText } from './examine.ts';

const tokenizer = new CharacterTokenizer([
  ...new Set('User: Assistant: System:\n abcdefghijklmnopqrstuvwxyz!?.'),
]);
const line = (user: string, answer: string): string =>
  JSON.stringify({
    messages: [
      { role: 'user', content: user },
      { role: 'assistant', content: answer },
    ],
  });

describe('conversations', () => {
  test('are counted, in tokens that are learned and tokens that are not', () => {
    const found = examineAsConversations(
      [line('hi?', 'yes'), '', line('more', 'no!')].join('\n'),
      tokenizer,
      64,
    );
    // "User: hi?⏎⏎Assistant:" and " yes", and the gap that ends an answer where there is no end of text.
    expect(found).toMatchObject({
      kind: 'conversations',
      lines: 2,
      conversations: 2,
      turns: 4,
      tokens: 11 + 10 + 4 + 2 + (12 + 10 + 4 + 2),
      answer_tokens: 4 + 2 + (4 + 2),
      longest: 28,
      too_long: 0,
      error_count: 0,
      unknown_characters: [],
    });
    expect(found.sample[0]).toEqual([
      { role: 'user', content: 'hi?' },
      { role: 'assistant', content: 'yes' },
    ]);
  });

  test('name each bad line with what is wrong with it, and count all of them', () => {
    const bad = [
      'not json',
      '{"messages": []}',
      '{"messages": [{"role":"assistant","content":"a"},{"role":"user","content":"b"}]}',
    ];
    const found = examineAsConversations(
      [line('hi', 'yes'), ...bad, ...Array(30).fill('[')].join('\n'),
      tokenizer,
      64,
    );
    expect(found.conversations).toBe(1);
    expect(found.lines).toBe(34);
    expect(found.error_count).toBe(33);
    expect(found.errors.slice(0, 3)).toEqual([
      { line: 2, message: 'it is not JSON' },
      { line: 3, message: 'it has no messages, and no prompt and completion' },
      { line: 4, message: 'the last message is not the assistant’s' },
    ]);
    expect(found.errors).toHaveLength(20);
  });

  test('tell what does not fit the context, and what the model cannot write', () => {
    const found = examineAsConversations(
      [line('hi', 'yes'), line('hi'.repeat(40), '墨 and 砚')].join('\n'),
      tokenizer,
      40,
    );
    expect(found.too_long).toBe(1);
    expect(found.unknown_characters).toEqual(['墨', '砚']);
    expect(found.template_missing).toEqual([]);
    const small = new CharacterTokenizer([...'abcdefghiklmnorst: \n']);
    expect(examineAsConversations(line('hi', 'no'), small, 40).template_missing).toEqual([
      'S',
      'y',
      'U',
      'A',
    ]);
  });
});

describe('text', () => {
  test('is counted and shown', () => {
    expect(examineAsText('abc é\n', tokenizer)).toMatchObject({
      ...{ kind: 'text', characters: 6, tokens: 5, unknown_characters: ['é'], sample: 'abc é\n' },
    });
  });

  test('that is none is said so, with its line', () => {
    expect(examineAsText('abc\nde\0f', tokenizer)).toMatchObject({
      error_count: 1,
      errors: [{ line: 2, message: 'it is not text in UTF-8' }],
      sample: '',
    });
  });
});
