/** A training that only pretends: a loss curve by formula, one point every few milliseconds. For the tests. */
import type { ServerResponse } from 'node:http';
import { PICTURE_MODELS } from './fixture-pictures.ts';

type State = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';
type Event = Record<string, unknown> & { type: string };

const EVERY = 10;

export class FixtureTraining {
  readonly id: string;
  readonly name: string;
  readonly preset: string;
  readonly steps: number;
  /** Of one that goes on from a model: which, and the name of what comes of it. */
  readonly tune: { base: string; model: string } | undefined;
  readonly family: 'image' | undefined;
  state: State = 'running';
  step = 0;
  error: { code: string; message: string; hint: string } | undefined;
  readonly events: Event[] = [];
  readonly listeners = new Set<ServerResponse>();
  #timer: ReturnType<typeof setInterval>;

  constructor(
    id: string,
    name: string,
    preset: string,
    steps: number,
    tune?: { base: string; model: string },
    family?: 'image',
  ) {
    this.tune = tune;
    this.family = family;
    this.id = id;
    this.name = name;
    this.preset = preset;
    this.steps = steps;
    this.#emit({ type: 'state', state: 'running' });
    this.#timer = setInterval(() => this.#advance(), 15);
  }

  get ended(): boolean {
    return this.state !== 'running' && this.state !== 'queued';
  }

  status(full = false) {
    const metrics = this.#told('metrics');
    return {
      id: this.id,
      kind: 'training',
      name: this.name,
      preset: this.preset,
      model: this.tune?.model ?? this.name,
      ...(this.tune === undefined ? {} : { base: this.tune.base }),
      ...(this.family === undefined ? {} : { family: this.family }),
      state: this.state,
      progress: this.step / this.steps,
      created: 1_763_900_200,
      metrics: { step: this.step },
      ...(this.error === undefined ? {} : { error: this.error }),
      ...(full ? { history: metrics, samples: this.#told('sample'), rollbacks: this.#told('rollback') } : {}),
    };
  }

  #told(type: string): Event[] {
    return this.events.filter((event) => event.type === type);
  }

  asModel() {
    if (this.family === 'image') return { ...PICTURE_MODELS[1], id: this.name, source: 'run' };
    const rest = { source: 'run', chat: false, state: 'ready', parameters: 804_096, context: 64, card: '' };
    return { id: this.tune?.model ?? this.name, family: 'text', created: 1_763_900_300, ...rest };
  }

  stream(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const event of this.events) response.write(`data: ${JSON.stringify(event)}\n\n`);
    if (this.ended) {
      response.end();
      return;
    }
    this.listeners.add(response);
    response.on('close', () => this.listeners.delete(response));
  }

  /** Ends every open event stream without a word, as a broken line would. */
  cutLines(): void {
    for (const listener of this.listeners) listener.destroy();
    this.listeners.clear();
  }

  end(state: State, error?: FixtureTraining['error']): void {
    if (this.ended) return;
    clearInterval(this.#timer);
    this.state = state;
    this.error = error;
    this.#emit({ type: 'state', state, ...(error === undefined ? {} : { error }) });
    for (const listener of this.listeners) listener.end();
    this.listeners.clear();
  }

  close(): void {
    clearInterval(this.#timer);
    this.cutLines();
  }

  /** A judgement and a sheet every hundred steps; once it goes astray, and back. */
  #advancePictures(): void {
    if (this.step === 150 && this.#told('rollback').length === 0) {
      this.#emit({ type: 'rollback', step: 100, from: 150, rollbacks: 1, why: 'the generator collapsed' });
      this.step = 100;
      return;
    }
    const judged = this.step % 100 === 0;
    const score = 12 + 300 * Math.exp(-this.step / 150);
    this.#emit({
      type: 'metrics',
      step: this.step,
      loss: 0.7 + 0.2 * Math.sin(this.step),
      tokens_per_second: 900,
      remaining: ((this.steps - this.step) / EVERY) * 0.015,
      size: this.step > this.steps / 2 ? 32 : 16,
      ...(judged ? { score, score_name: 'fid_pixels', best_score: score + 1 } : {}),
    });
    if (judged)
      this.#emit({
        type: 'sample',
        step: this.step,
        picture: `/api/trainings/${this.id}/samples/${this.step}`,
      });
    if (this.step >= this.steps) this.end('succeeded');
  }

  #advance(): void {
    this.step += EVERY;
    if (this.family === 'image') this.#advancePictures();
    else this.#advanceText();
  }

  #advanceText(): void {
    const x = this.step / 120;
    const loss = 1.45 + 2.7 * Math.exp(-x) + 0.06 * Math.sin(this.step * 1.7);
    const validation =
      this.step % 100 === 0 ? { val_loss: 1.56 + 2.6 * Math.exp(-x) + this.step / 9000 } : {};
    const remaining = ((this.steps - this.step) / EVERY) * 0.015;
    this.#emit({
      type: 'metrics',
      step: this.step,
      loss,
      tokens_per_second: 48_000 + (this.step % 7) * 300,
      remaining,
      ...validation,
    });
    if (this.step % 100 === 0) {
      this.#emit({
        type: 'sample',
        step: this.step,
        text: `ROMEO:\nThe night of step ${this.step} is not so dark\nAs ink that waits upon the stone.`,
      });
    }
    if (this.step >= this.steps) this.end('succeeded');
  }

  #emit(event: Event): void {
    this.events.push(event);
    for (const listener of this.listeners) listener.write(`data: ${JSON.stringify(event)}\n\n`);
  }
}
