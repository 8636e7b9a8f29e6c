/**
 * What answers of a model have shown: how many tokens the bytes of a prompt become, and how long an answer gets where nobody
 * says. For whoever reserves without a tokenizer; the most of late is taken, so that the reservation covers. Knows no keys.
 */

interface Seen {
  ratios: number[];
  lengths: number[];
}

/** Answers that count, and models that are remembered. */
const LATE = 64;
const MODELS = 256;

export interface Shown {
  /** Bytes of the prompt as it was sent, tokens that it was counted as. */
  bytes: number;
  prompt: number;
  /** Tokens of an answer that could be as long as it liked. */
  free?: number | undefined;
}

function push(list: number[], value: number): void {
  list.push(value);
  if (list.length > LATE) list.shift();
}

export class Experience {
  private readonly seen = new Map<string, Seen>();

  add(model: string, { bytes, prompt, free }: Shown): void {
    const seen = this.seen.get(model) ?? { ratios: [], lengths: [] };
    this.seen.delete(model);
    this.seen.set(model, seen);
    if (this.seen.size > MODELS) this.seen.delete(this.seen.keys().next().value as string);
    if (bytes > 0 && prompt > 0) push(seen.ratios, prompt / bytes);
    if (free !== undefined) push(seen.lengths, free);
  }

  /** Tokens a byte; undefined before anything was seen. */
  tokensPerByte(model: string): number | undefined {
    const ratios = this.seen.get(model)?.ratios ?? [];
    return ratios.length === 0 ? undefined : Math.max(...ratios);
  }

  /** Tokens of the longest answer whose request set no bound; 0 before there was one. */
  longest(model: string): number {
    return Math.max(0, ...(this.seen.get(model)?.lengths ?? []));
  }
}
