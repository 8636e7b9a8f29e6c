/** `inkstone tokenizer encode`: what a tokenizer makes of a text: ids, the text of each, and the text back. */
import path from 'node:path';
import { exists, facts, readInput, readText } from '../../../base/host.ts';
import { z } from '../../../base/schema.ts';
import { readTokenizer } from '../../../data/tokenizer/read.ts';
import { findModel } from '../../../operate/registry.ts';
import { command } from '../../command.ts';

const own = { environment: false } as const;

const schema = z.object({
  tokenizer: z.string().min(1).describe('a tokenizer.json, a model’s folder or a registered name'),
  text: z
    .string()
    .default('-')
    .describe('the text; - reads standard input')
    .meta({ ...own, alias: 't' }),
  special: z
    .boolean()
    .default(false)
    .describe('with the tokens that its makers put before and after a text')
    .meta(own),
});

async function fileOf(given: string): Promise<string> {
  if ((await facts(given))?.kind === 'file') return given;
  const inside = path.join(given, 'tokenizer.json');
  if (await exists(inside)) return inside;
  return path.join((await findModel(given)).folder, 'tokenizer.json');
}

export const tokenizerEncodeCommand = command({
  name: 'tokenizer encode',
  summary: 'show how a tokenizer cuts a text',
  schema,
  positionals: ['tokenizer', 'text'],
  examples: ['tokenizer encode starter "It was a dark night"', 'tokenizer encode ./tokenizer.json - --json'],
  async run({ tokenizer: given, text, special }) {
    const tokenizer = readTokenizer(await readText(await fileOf(given)));
    const plain = tokenizer.encode(text === '-' ? await readInput() : text);
    const ids = special ? [...(tokenizer.prefix ?? []), ...plain, ...(tokenizer.suffix ?? [])] : plain;
    const decoder = new TextDecoder();
    return {
      kind: tokenizer.kind,
      vocabulary: tokenizer.vocabularySize,
      ids,
      tokens: ids.map((id) => decoder.decode(tokenizer.bytes(id))),
      decoded: tokenizer.decode(ids),
    };
  },
  show: ({ ids, tokens }) =>
    ids.map((id, i) => `${String(id).padStart(7)}  ${JSON.stringify(tokens[i])}`).join('\n'),
});
