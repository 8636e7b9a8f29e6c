/** llama.cpp's tokenizer behind our contract. Knows one model's vocabulary; runs no network. */
import type { TextCodec } from '../../data/tokenizer/tokenizer.ts';
import type { LlamaModel } from './library.ts';

export class LlamaTokenizer implements TextCodec {
  readonly endOfText: number | undefined;
  readonly prefix: readonly number[];
  private readonly model: LlamaModel;
  private readonly written: readonly Uint8Array[];

  /** @param written what each token writes, by id */
  constructor(model: LlamaModel, written: readonly Uint8Array[]) {
    this.model = model;
    this.written = written;
    const { bos, shouldPrependBosToken } = model.tokens;
    this.prefix = shouldPrependBosToken && bos !== null ? [bos] : [];
    this.endOfText = model.tokens.eos ?? model.tokens.eot ?? undefined;
  }

  get vocabularySize(): number {
    return this.written.length;
  }

  /** Tokens that end a text. */
  ends(): Set<number> {
    const ends = new Set(this.endOfText === undefined ? [] : [this.endOfText]);
    for (let id = 0; id < this.written.length; id++) if (this.model.isEogToken(id)) ends.add(id);
    return ends;
  }

  /** Special tokens are read as such, since a chat's template writes them. */
  encode(text: string): number[] {
    return this.model.tokenize(text, true);
  }

  bytes(id: number): Uint8Array {
    return this.written[id] ?? new Uint8Array();
  }

  decode(ids: Iterable<number>): string {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    let text = '';
    for (const id of ids) text += decoder.decode(this.bytes(id), { stream: true });
    return text + decoder.decode();
  }
}
