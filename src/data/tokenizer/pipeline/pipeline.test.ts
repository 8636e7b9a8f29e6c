/** Tokenizers of many makers against Hugging Face's: the same ids for nasty texts, the same text back. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readTokenizer } from '../read.ts';

interface Golden {
  texts: string[];
  kinds: Record<string, { file: object; ids: number[][]; framed: number[]; decoded: string[] }>;
}
const golden = JSON.parse(readFileSync(new URL('golden/pipelines.json', import.meta.url), 'utf8')) as Golden;

describe.each(Object.entries(golden.kinds))('%s', (_, { file, ids, framed, decoded }) => {
  const tokenizer = readTokenizer(JSON.stringify(file));
  test.each(golden.texts.map((text, i) => [text, ids[i] as number[]] as const))(
    'ids of %j',
    (text, wanted) => {
      expect(tokenizer.encode(text)).toEqual(wanted);
    },
  );
  test('decodes', () => {
    expect(ids.map((one) => tokenizer.decode(one))).toEqual(decoded);
  });
  test('knows what stands before and after a text', () => {
    expect([...(tokenizer.prefix ?? []), ...tokenizer.encode('the'), ...(tokenizer.suffix ?? [])]).toEqual(
      framed,
    );
  });
  test('reads back from its own file', () => {
    const again = readTokenizer(tokenizer.toJson());
    for (const text of golden.texts) expect(again.encode(text)).toEqual(tokenizer.encode(text));
    expect(again.vocabularySize).toBe(tokenizer.vocabularySize);
  });
});
