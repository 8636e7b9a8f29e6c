/**
 * What is counted of one request on its way: when it entered the queue, when its turn came, its tokens and when they came,
 * what it ended with. Knows no HTTP; the server opens one for each request and closes it, whatever happened.
 */
import { monotonic } from '../../base/host.ts';
import type { Use } from '../quota/prices.ts';
import type { Metrics } from './metrics.ts';
import type { Span } from './span.ts';

/** OpenTelemetry's names of what is done. */
export type GenAiOperation = 'chat' | 'text_completion' | 'embeddings' | 'generate_content';

export interface MeterStart {
  id: string;
  operation: GenAiOperation;
  /** Id of the API key. */
  key?: string | undefined;
  span?: Span | undefined;
  clock?: () => number;
}

export interface TokenCounts {
  prompt: number;
  completion: number;
}

export const PROVIDER = 'inkstone';

export class RequestMeter {
  readonly id: string;
  readonly operation: GenAiOperation;
  readonly key: string | undefined;
  readonly tokens: TokenCounts = { prompt: 0, completion: 0 };
  readonly span: Span | undefined;
  model: string | undefined;
  /** Seconds to the first token, where one came. */
  firstToken: number | undefined;
  finish: string[] = [];
  private readonly metrics: Metrics;
  private readonly clock: () => number;
  private readonly started: number;
  private entered: number | undefined;
  private began: number | undefined;
  private turn: Span | undefined;
  private work: Span | undefined;
  private readonly last = new Map<number, number>();
  /** Tokens of answers that have not ended. */
  private readonly made = new Map<number, number>();
  private lastToken = 0;
  /** Answers to each prompt. */
  each = 1;
  pictures = 0;
  /** Refuses a model that the key may not use. */
  use: ((model: string) => void) | undefined;
  /** Takes from the key's limits what is now known to be needed at most. */
  cover: ((need: Use) => Promise<void>) | undefined;
  private closed = false;
  private readonly closing: ((meter: RequestMeter) => void)[] = [];

  constructor(metrics: Metrics, { id, operation, key, span, clock = monotonic }: MeterStart) {
    this.metrics = metrics;
    this.id = id;
    this.operation = operation;
    this.key = key;
    this.span = span;
    this.clock = clock;
    this.started = clock();
    metrics.add('requests');
  }

  /** Milliseconds that it has waited for its turn; undefined where it does not wait. */
  waited(): number | undefined {
    return this.entered === undefined || this.began !== undefined ? undefined : this.clock() - this.entered;
  }

  get running(): boolean {
    return this.began !== undefined && !this.closed;
  }

  /** It has a place in the queue of a model that is there. */
  enter(model: string): void {
    this.model = model;
    this.entered = this.clock();
    this.turn = this.span?.child('queue', { attributes: { 'gen_ai.request.model': model } });
  }

  /** Its turn has come. */
  begin(): void {
    if (this.began !== undefined) return;
    this.began = this.clock();
    this.turn?.end();
    const model = this.model ?? 'unknown';
    if (this.entered !== undefined)
      this.metrics.observe('queued', (this.began - this.entered) / 1000, { model_name: model });
    this.work = this.span?.child(`${this.operation} ${model}`, {
      kind: 'client',
      attributes: {
        'gen_ai.operation.name': this.operation,
        'gen_ai.provider.name': PROVIDER,
        'gen_ai.request.model': model,
        'gen_ai.response.model': model,
        'gen_ai.response.id': this.id,
      },
    });
  }

  /** What the model's process goes on from. */
  get traceparent(): string | undefined {
    return (this.work ?? this.span)?.traceparent;
  }

  /** A prompt that several answers share is read once. */
  prompt(index: number, tokens: number): void {
    if (index % this.each > 0) return;
    this.tokens.prompt += tokens;
    this.metrics.add('promptTokens', tokens, { model_name: this.model ?? 'unknown' });
  }

  /** Tokens of one of its answers, now. */
  piece(index: number, tokens: number): void {
    const at = this.clock();
    const labels = { model_name: this.model ?? 'unknown' };
    if (this.firstToken === undefined) {
      this.firstToken = (at - this.started) / 1000;
      this.metrics.observe('firstToken', this.firstToken, labels);
      this.metrics.observe('serverFirstToken', this.firstToken, this.genAi());
      this.work?.event('first token');
    }
    const before = this.last.get(index);
    if (before !== undefined)
      for (let i = 0; i < tokens; i++)
        this.metrics.observe('betweenTokens', (at - before) / 1000 / tokens, labels);
    this.last.set(index, at);
    this.lastToken = at;
    this.made.set(index, (this.made.get(index) ?? 0) + tokens);
  }

  /** One of its answers has ended. */
  end(reason: string, completionTokens: number, index = 0): void {
    if (this.closed) return;
    this.made.delete(index);
    this.finish.push(reason);
    this.tokens.completion += completionTokens;
    const model_name = this.model ?? 'unknown';
    this.metrics.add('generationTokens', completionTokens, { model_name });
    this.metrics.add('success', 1, { model_name, finished_reason: reason });
  }

  /** Called once, when it is over; at once where it is: a client may leave while its request is let in. */
  onClose(react: (meter: RequestMeter) => void): void {
    if (this.closed) react(this);
    else this.closing.push(react);
  }

  private genAi(): Record<string, string> {
    return {
      gen_ai_operation_name: this.operation,
      gen_ai_request_model: this.model ?? 'unknown',
      gen_ai_provider_name: PROVIDER,
    };
  }

  /** @param outcome status that was answered and the code of the error, where there was one */
  close({ status, code }: { status: number; code?: string | undefined }): void {
    if (this.closed) return;
    this.closed = true;
    // Whoever hangs up, or whose model breaks off, has had what was made until then.
    for (const tokens of this.made.values()) {
      this.tokens.completion += tokens;
      this.metrics.add('generationTokens', tokens, { model_name: this.model ?? 'unknown' });
    }
    const seconds = (this.clock() - this.started) / 1000;
    if (status === 429 || (status === 503 && code !== undefined))
      this.metrics.add('rejections', 1, { reason: code ?? 'other' });
    if (status >= 500 || (code !== undefined && status === 200)) this.metrics.add('failures');
    if (this.model !== undefined && this.began !== undefined) {
      const { prompt, completion } = this.tokens;
      this.metrics.observe('whole', seconds, { model_name: this.model });
      const labels = this.genAi();
      this.metrics.observe('operation', seconds, labels);
      if (prompt > 0) this.metrics.observe('tokenUsage', prompt, { ...labels, gen_ai_token_type: 'input' });
      if (completion > 0)
        this.metrics.observe('tokenUsage', completion, { ...labels, gen_ai_token_type: 'output' });
      if (completion > 1 && this.firstToken !== undefined) {
        const spread = (this.lastToken - this.started) / 1000 - this.firstToken;
        this.metrics.observe('serverPerToken', spread / (completion - 1), labels);
      }
    }
    this.turn?.end();
    this.work?.set({
      'gen_ai.usage.input_tokens': this.tokens.prompt,
      'gen_ai.usage.output_tokens': this.tokens.completion,
      ...(this.finish.length > 0 ? { 'gen_ai.response.finish_reasons': this.finish } : {}),
    });
    if (code !== undefined) this.work?.fail(code);
    this.work?.end();
    for (const react of this.closing.splice(0)) react(this);
  }
}
