/** A replica without a model, for tests of the server: says the alphabet, a letter a token, at a chosen pace. */
import type { TextEvent, TextRequest, TextToken } from '../base/contracts/generator.ts';
import type { ModelDescription, Replica, ReplicaStatus } from '../base/contracts/replica.ts';
import { InkstoneError } from '../base/errors.ts';

export interface LetterOptions {
  /** Milliseconds between tokens. */
  pace?: number;
  context?: number;
  /** Comes to an end of its own after so many tokens. */
  stopAfter?: number;
  /** Fails after so many tokens. */
  failAfter?: number;
  /** Resolves when the model is loaded. */
  loading?: Promise<void>;
}

export class LetterReplica implements Replica {
  readonly model: ModelDescription;
  readonly finished: string[] = [];
  running = 0;
  private readonly options: LetterOptions;

  constructor(id: string, options: LetterOptions = {}) {
    this.options = options;
    this.model = {
      id,
      family: 'text',
      created: 1,
      parameters: 26,
      context: options.context ?? 64,
      consumes: ['text'],
      produces: ['text'],
      chat: false,
    };
  }

  status(): ReplicaStatus {
    return {
      state: this.options.loading === undefined ? 'ready' : 'starting',
      progress: 0.5,
      running: this.running,
      waiting: 0,
    };
  }

  async ready(): Promise<void> {
    await this.options.loading;
  }

  async countTokens(text: string): Promise<number> {
    return text.length;
  }

  async *generate(request: TextRequest, signal: AbortSignal): AsyncGenerator<TextEvent> {
    const { sampling } = request;
    this.running++;
    let reason: 'stop' | 'length' | 'cancelled' = 'length';
    let made = 0;
    try {
      yield { type: 'start', promptTokens: request.prompt.length };
      for (; made < sampling.maxTokens; made++) {
        if (this.options.pace !== undefined)
          await new Promise((resolve) => setTimeout(resolve, this.options.pace));
        if (signal.aborted) {
          reason = 'cancelled';
          break;
        }
        if (made === this.options.stopAfter) {
          reason = 'stop';
          break;
        }
        if (made === this.options.failAfter)
          throw new InkstoneError('replica_crashed', 'the model fell over', { kind: 'resource' });
        const letter = String.fromCharCode(97 + ((sampling.seed + made) % 26));
        yield {
          type: 'delta',
          text: letter,
          tokens: sampling.logprobs === undefined ? [] : [tokenOf(letter, sampling.logprobs)],
        };
      }
      yield { type: 'end', reason, completionTokens: made };
    } finally {
      this.running--;
      this.finished.push(`${request.id} ${reason} ${made}`);
    }
  }

  async drain(): Promise<void> {}
  async stop(): Promise<void> {}
}

function tokenOf(letter: string, count: number): TextToken {
  const one = (token: string, logprob: number) => ({ token, bytes: [token.charCodeAt(0)], logprob });
  return { ...one(letter, -0.1), top: [one(letter, -0.1), one('z', -3)].slice(0, count) };
}
