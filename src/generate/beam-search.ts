/**
 * Beam search: the likeliest texts instead of a drawn one. Follows Hugging Face's rules (a text that ends among the
 * best `width` is kept under its log-probability over its length to a power; the search ends where what runs can no
 * longer beat what is kept), so that both find the same texts. Knows scores and tokens; knows no cache and no model.
 */
import type { BeamSettings } from '../base/contracts/generator.ts';
import { InkstoneError } from '../base/errors.ts';
import { argmax, type LogitsProcessor, logprobsOf, type TokenLogprob } from './sampler.ts';

/** Something that a text is held to; a fork goes on by itself. */
export interface Held {
  process(logits: Float32Array): void;
  push(id: number): void;
  readonly complete: boolean;
  fork(): Held;
}

export interface BeamSearchOptions extends BeamSettings {
  prompt: readonly number[];
  maxTokens: number;
  endOfText: number | undefined;
  processors: readonly LogitsProcessor[];
  held?: Held | undefined;
  /** Ends a text at stop strings. */
  ends?: ((answer: readonly number[]) => boolean) | undefined;
  /** How many alternatives to report per token; undefined for no log-probabilities. */
  logprobs?: number | undefined;
}

export interface BeamToken extends TokenLogprob {
  top: readonly TokenLogprob[];
}

export interface BeamText {
  /** Without the end of text. */
  tokens: readonly BeamToken[];
  /** Log-probability over length (the end of text counted) to the power of the penalty. */
  score: number;
  reason: 'stop' | 'length';
}

interface Beam {
  tokens: readonly BeamToken[];
  /** Sum of log-probabilities, after all changes to them. */
  sum: number;
  held: Held | undefined;
}

interface Candidate {
  /** Index of the beam that it goes on from. */
  parent: number;
  id: number;
  sum: number;
}

/**
 * @param places of the batch @param room for an answer in the context
 * @throws InkstoneError `beams_invalid`, `context_length_exceeded`
 */
export function checkBeams(given: BeamSettings, places: number, room: number): void {
  const { width, count, lengthPenalty } = given;
  const fail = (what: string, hint: string): never => {
    throw new InkstoneError('beams_invalid', what, { kind: 'usage', hint });
  };
  if (!Number.isInteger(width) || width < 1 || width > places)
    fail(
      `there are to be ${width} beams`,
      `give a whole number from 1 to ${places}: each takes a place of the batch`,
    );
  if (!Number.isInteger(count) || count < 1 || count > width)
    fail(`${count} texts are wanted of ${width} beams`, 'ask for at least one and at most as many as beams');
  if (!Number.isFinite(lengthPenalty)) fail(`the length penalty is ${lengthPenalty}`, 'give a number');
  if (room < 0)
    throw new InkstoneError('context_length_exceeded', 'the prompt is longer than the context', {
      kind: 'usage',
      hint: `shorten it by ${-room} tokens`,
    });
}

export class BeamSearch {
  private readonly options: BeamSearchOptions;
  private running: Beam[];
  private kept: BeamText[] = [];
  private length = 0;

  constructor(options: BeamSearchOptions) {
    this.options = options;
    this.running = [{ tokens: [], sum: 0, held: options.held }];
  }

  /** The last token of each running text. */
  get last(): number[] {
    return this.running.map(({ tokens }) => tokens[tokens.length - 1]?.id as number);
  }

  /**
   * One step. @param logits a row for each running text
   * @returns for each text that runs on, the index of the one before; nothing where the search is over
   * @throws InkstoneError `logits_invalid`, and what a constraint throws
   */
  advance(logits: readonly Float32Array[]): number[] {
    const { width, endOfText, maxTokens, lengthPenalty, ends } = this.options;
    const before = this.running;
    const candidates = this.candidates(logits);
    this.length += 1;
    const full = this.length >= maxTokens;
    const size = this.length ** lengthPenalty;
    const parents: number[] = [];
    const next: Beam[] = [];
    candidates.forEach(({ parent, id, sum }, rank) => {
      const from = before[parent] as Beam;
      if (id === endOfText) {
        if (rank < width) this.keep({ tokens: from.tokens, score: sum / size, reason: 'stop' });
        return;
      }
      // What neither runs on nor is kept need not be made.
      if (next.length >= width && rank >= width) return;
      const row = logits[parent] as Float32Array;
      const told = this.options.logprobs;
      const report = told === undefined ? { logprob: Number.NaN, top: [] } : logprobsOf(row, id, told);
      const tokens = [...from.tokens, { id, ...report }];
      const held = from.held?.fork();
      held?.push(id);
      const stopped = held?.complete === true || ends?.(tokens.map((token) => token.id)) === true;
      if (stopped || full) {
        if (rank < width) this.keep({ tokens, score: sum / size, reason: stopped ? 'stop' : 'length' });
      } else if (next.length < width) {
        next.push({ tokens, sum, held });
        parents.push(parent);
      }
    });
    this.running = next;
    return this.improvable(size) ? parents : [];
  }

  /** The best so far, best first. */
  results(): BeamText[] {
    return this.kept.slice(0, this.options.count);
  }

  private improvable(size: number): boolean {
    const [best] = this.running;
    const worst = this.kept[this.options.width - 1];
    return best !== undefined && (worst === undefined || best.sum / size > worst.score);
  }

  private keep(text: BeamText): void {
    let at = this.kept.length;
    while (at > 0 && (this.kept[at - 1] as BeamText).score < text.score) at--;
    this.kept.splice(at, 0, text);
    this.kept.length = Math.min(this.kept.length, this.options.width);
  }

  /** The likeliest continuations of all, best first: twice the width, so that enough are left where many end. */
  private candidates(logits: readonly Float32Array[]): Candidate[] {
    const { width, prompt, processors } = this.options;
    const most = 2 * width;
    const found: Candidate[] = [];
    this.running.forEach((beam, parent) => {
      const row = logProbabilities(logits[parent] as Float32Array);
      if (processors.length > 0) {
        const tokens = [...prompt, ...beam.tokens.map((token) => token.id)];
        for (const process of processors) process(row, tokens);
      }
      beam.held?.process(row);
      for (let id = 0; id < row.length; id++) {
        const sum = beam.sum + (row[id] as number);
        if (sum === Number.NEGATIVE_INFINITY) continue;
        if (found.length === most && sum <= (found[most - 1] as Candidate).sum) continue;
        let at = found.length;
        while (at > 0 && (found[at - 1] as Candidate).sum < sum) at--;
        found.splice(at, 0, { parent, id, sum });
        if (found.length > most) found.pop();
      }
    });
    return found;
  }
}

function logProbabilities(logits: Float32Array): Float32Array {
  const top = logits[argmax(logits)] as number;
  let total = 0;
  for (const value of logits) total += Math.exp(value - top);
  const norm = top + Math.log(total);
  return logits.map((value) => value - norm);
}
