/** Replicas without a model, for tests of the server: one says the alphabet, a letter a token, one what it is told to. And the folder of an empty model, for names that stand for something. */
import path from 'node:path';
import type { TextEvent, TextRequest, TextToken } from '../base/contracts/generator.ts';
import type { ModelDescription, Replica, ReplicaStatus } from '../base/contracts/replica.ts';
import { InkstoneError } from '../base/errors.ts';
import { makeFolder, writeFile } from '../base/host.ts';

/** A model of that name in a home folder: one that is listed, and that no replica here reads. */
export async function writeEmptyModel(home: string, name: string): Promise<void> {
  const run = path.join(home, 'runs', name);
  await makeFolder(run);
  const model = { layers: 1, heads: 1, width: 4, context: 64, vocabulary: 26, bias: false };
  const config = { family: 'text', architecture: 'gpt2', model, created: 7 };
  await writeFile(path.join(run, 'config.json'), JSON.stringify(config));
  await writeFile(path.join(run, 'model.safetensors'), '');
}

export interface LetterOptions {
  /** Milliseconds between tokens. */
  pace?: number;
  context?: number;
  /** Lets others in after each so many tokens. */
  breathe?: number;
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
        if (this.options.breathe !== undefined && made % this.options.breathe === 0)
          await new Promise((resolve) => setImmediate(resolve));
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

export interface ScriptedOptions {
  context?: number;
  /** Milliseconds between pieces. */
  pace?: number;
  chat?: boolean;
  template?: ModelDescription['template'];
}

/**
 * Says what it is told to say, a script a request (the last one again and again), three characters a token, and keeps
 * what it was asked.
 */
export class ScriptedReplica extends LetterReplica {
  override readonly model: ModelDescription;
  readonly asked: TextRequest[] = [];
  private readonly scripts: readonly string[];
  private readonly pace: number | undefined;

  constructor(id: string, scripts: readonly string[], options: ScriptedOptions = {}) {
    super(id);
    this.scripts = scripts;
    this.pace = options.pace;
    const { template } = options;
    this.model = {
      ...{ id, family: 'text', created: 1, parameters: 26, context: options.context ?? 100_000 },
      ...{ consumes: ['text'], produces: ['text'], chat: options.chat ?? true },
      ...(template === undefined ? {} : { template }),
    };
  }

  override async *generate(request: TextRequest, signal: AbortSignal): AsyncGenerator<TextEvent> {
    const { sampling } = request;
    const script = this.scripts[Math.min(this.asked.length, this.scripts.length - 1)] ?? '';
    this.asked.push(request);
    this.running++;
    try {
      yield { type: 'start', promptTokens: request.prompt.length };
      const ends = sampling.stop.map((stop) => script.indexOf(stop)).filter((at) => at >= 0);
      const text = script.slice(0, Math.min(script.length, ...ends));
      let made = 0;
      for (let at = 0; at < text.length && made < sampling.maxTokens && !signal.aborted; at += 3) {
        if (this.pace !== undefined) await new Promise((resolve) => setTimeout(resolve, this.pace));
        const piece = text.slice(at, at + 3);
        made++;
        yield {
          type: 'delta',
          text: piece,
          tokens: sampling.logprobs === undefined ? [] : [tokenOf(piece, sampling.logprobs)],
        };
      }
      const cut = made * 3 < text.length;
      yield { type: 'end', reason: cut ? 'length' : 'stop', completionTokens: made };
    } finally {
      this.running--;
    }
  }
}
