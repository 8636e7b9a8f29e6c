/** `inkstone tokenizer train`: learns a vocabulary from a text and writes it as tokenizer.json. */
import { monotonic, writeFile } from '../../../base/host.ts';
import { count, duration } from '../../../base/progress.ts';
import { z } from '../../../base/schema.ts';
import { readPieces } from '../../../data/text/pieces.ts';
import { trainBpe, WordCounter } from '../../../data/tokenizer/bpe-train.ts';
import { CharacterTokenizer } from '../../../data/tokenizer/characters.ts';
import type { Tokenizer } from '../../../data/tokenizer/tokenizer.ts';
import { trainWordPiece, WordPieceCounter } from '../../../data/tokenizer/wordpiece.ts';
import { WordsCounter, WordsTokenizer } from '../../../data/tokenizer/words.ts';
import { command } from '../../command.ts';

const schema = z.object({
  data: z.string().min(1).describe('a text file, a folder, .jsonl, .gz or .tar.gz'),
  kind: z
    .enum(['bpe', 'wordpiece', 'words', 'characters'])
    .default('bpe')
    .describe('pairs of bytes, BERT’s pieces of words, words by a Chinese dictionary, or characters')
    .meta({ environment: false }),
  vocabulary: z
    .number()
    .int()
    .min(2)
    .max(1_000_000)
    .default(8192)
    .describe('tokens at most; characters have as many as the text')
    .meta({ environment: false }),
  out: z.string().default('tokenizer.json').describe('the file to write').meta({ environment: false }),
  field: z
    .string()
    .min(1)
    .optional()
    .describe('JSON lines: the field with the text')
    .meta({ environment: false }),
});

/** Takes text in and gives the tokenizer when all of it was seen. */
interface Learner {
  add(text: string): void;
  learn(size: number): Tokenizer;
}

function learnerOf(kind: z.output<typeof schema>['kind']): Learner {
  switch (kind) {
    case 'bpe': {
      const counter = new WordCounter();
      return { add: (text) => counter.add(text), learn: (size) => trainBpe(counter.counts, size) };
    }
    case 'wordpiece': {
      const counter = new WordPieceCounter();
      return { add: (text) => counter.add(text), learn: (size) => trainWordPiece(counter.counts, size) };
    }
    case 'words': {
      const counter = new WordsCounter();
      return { add: (text) => counter.add(text), learn: (size) => WordsTokenizer.train(counter, size) };
    }
    case 'characters': {
      const seen = new Set<string>();
      return {
        add: (text) => {
          for (const character of text) seen.add(character);
        },
        learn: () => CharacterTokenizer.fromCharacters(seen),
      };
    }
  }
}

export const tokenizerTrainCommand = command({
  name: 'tokenizer train',
  summary: 'learn a vocabulary from a text',
  description:
    'Writes a tokenizer.json, as Hugging Face reads it (words are a form of our own). `train text` learns one by itself; this is for a vocabulary that several models are to share, or to look at.',
  schema,
  positionals: ['data'],
  examples: [
    'tokenizer train books/ --vocabulary 16384 --out books.json',
    'tokenizer train poems.jsonl --kind words --vocabulary 20000',
  ],
  async run({ data, kind, vocabulary, out, field }, { signal, progress }) {
    const begun = monotonic();
    const learner = learnerOf(kind);
    let bytes = 0;
    for await (const { text } of readPieces(data, field === undefined ? {} : { field })) {
      signal.throwIfAborted();
      bytes += Buffer.byteLength(text);
      learner.add(text);
      progress.show(`reading: ${count(bytes)} bytes`);
    }
    progress.show('learning');
    const tokenizer = learner.learn(vocabulary);
    const seconds = (monotonic() - begun) / 1000;
    await writeFile(out, tokenizer.toJson());
    return {
      out,
      kind,
      vocabulary: tokenizer.vocabularySize,
      bytes,
      seconds: Number(seconds.toFixed(3)),
      megabytes_per_second: Number((bytes / 1e6 / seconds).toFixed(2)),
    };
  },
  show: ({ out, vocabulary, bytes, seconds, megabytes_per_second: speed }) =>
    `${out}: ${vocabulary} tokens from ${count(bytes)} bytes in ${duration(seconds)} (${speed} MB/s)`,
});
