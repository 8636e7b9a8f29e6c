/**
 * A text model ready to embed: tokenizer and network together turn texts into vectors. Knows the marks around a text;
 * knows neither HTTP nor processes.
 */
import type { Embedder, EmbeddingRequest, TextEmbedding } from '../base/contracts/embedder.ts';
import { InkstoneError } from '../base/errors.ts';
import type { Tokenizer } from '../data/tokenizer/tokenizer.ts';
import { WordPieceTokenizer } from '../data/tokenizer/wordpiece.ts';
import { SequenceEmbedder } from '../generate/index.ts';
import { isBert } from '../models/text/any.ts';
import { textEmbedding } from '../models/text/embedding-programs.ts';
import { loadAnyTextModel, type TextModelInfo } from '../models/text/load.ts';
import type { Backend } from '../runtime/contract.ts';

export class TextEmbedder implements Embedder {
  readonly info: TextModelInfo;
  private readonly tokenizer: Tokenizer;
  private readonly network: SequenceEmbedder;

  private constructor(info: TextModelInfo, tokenizer: Tokenizer, network: SequenceEmbedder) {
    this.info = info;
    this.tokenizer = tokenizer;
    this.network = network;
  }

  /** @throws InkstoneError from loading and compiling */
  static async open(folder: string, backend: Backend): Promise<TextEmbedder> {
    const { weights, tokenizer, ...info } = await loadAnyTextModel(folder);
    if (isBert(info.config) && !(tokenizer instanceof WordPieceTokenizer))
      throw new InkstoneError('tokenizer_unsupported', 'a BERT needs a WordPiece tokenizer', {
        kind: 'unsupported',
      });
    const network = await SequenceEmbedder.open({
      backend,
      context: info.config.context,
      width: info.config.width,
      program: textEmbedding(info.config, info.pooling),
      parameters: weights,
    });
    return new TextEmbedder(info, tokenizer, network);
  }

  /** What the model reads of a text. @throws InkstoneError `character_unknown` */
  private encode(text: string): number[] {
    const { tokenizer } = this;
    const ids = tokenizer.encode(text);
    if (tokenizer instanceof WordPieceTokenizer)
      return [tokenizer.special('[CLS]'), ...ids, tokenizer.special('[SEP]')];
    // A text of spaces alone may have no tokens; a network needs one.
    return ids.length > 0 ? ids : [tokenizer.endOfText ?? 0];
  }

  async lengths(texts: readonly string[]): Promise<number[]> {
    return texts.map((text) => this.encode(text).length);
  }

  async embed({ texts }: EmbeddingRequest, signal?: AbortSignal): Promise<TextEmbedding[]> {
    const { context } = this.info.config;
    const sequences = texts.map((text, index) => {
      const ids = this.encode(text);
      if (ids.length <= context) return ids;
      throw new InkstoneError(
        'context_length_exceeded',
        `This model's maximum context length is ${context} tokens. However, input ${index} has ${ids.length} tokens.`,
        { kind: 'usage', hint: 'split it', details: { param: 'input', index } },
      );
    });
    const vectors = await this.network.embed(sequences, signal);
    return vectors.map((vector, i) => ({ vector, tokens: (sequences[i] as number[]).length }));
  }

  close(): Promise<void> {
    return this.network.close();
  }
}
