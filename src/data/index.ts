/** Data: text in any container to tokens and batches. */
export * from './text/batches.ts';
export { type ReadOptions, readPieces, type TextPiece } from './text/pieces.ts';
export { type PreparedText, prepareText, type TokenizerChoice } from './text/prepare.ts';
export { TokenFile } from './text/token-file.ts';
export { BpeTokenizer, END_OF_TEXT } from './tokenizer/bpe.ts';
export { trainBpe, WordCounter } from './tokenizer/bpe-train.ts';
export { CharacterTokenizer } from './tokenizer/characters.ts';
export { readTokenizer } from './tokenizer/read.ts';
export { StreamDecoder, type Tokenizer } from './tokenizer/tokenizer.ts';
export { WordsCounter, WordsTokenizer } from './tokenizer/words.ts';
