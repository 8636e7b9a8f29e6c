/** One generation at a time, followed as it grows: what a pane shows is a `Run`. Knows the wire; does not draw. */
import { isAbort, type Problem, toProblem } from '../api/client.ts';
import { type GenerationRequest, generate } from '../api/generate.ts';
import { type Unit, UnitCollector } from './tokens.ts';

export interface Run {
  phase: 'loading' | 'waiting' | 'streaming' | 'done' | 'stopped' | 'failed';
  /** Grows in place while streaming; the run object is new each time it is drawn. */
  units: readonly Unit[];
  tokens: number;
  /** Milliseconds of `performance.now()`. */
  started: number;
  first?: number;
  ended?: number;
  reason?: string;
  problem?: Problem;
  loading?: { message: string; progress?: number };
  /** The text that was continued; undefined in a conversation. */
  prompt?: string;
}

export const isRunning = (run: Run | undefined): boolean =>
  run?.phase === 'loading' || run?.phase === 'waiting' || run?.phase === 'streaming';

export function textOf(run: Run): string {
  return run.units.map((unit) => unit.text).join('');
}

export class Runner {
  #abort: AbortController | undefined;

  stop(): void {
    this.#abort?.abort();
  }

  /** Stops, and shows nothing more of what was running. */
  forget(): void {
    this.stop();
    this.#abort = undefined;
  }

  /** Runs a request and shows it as it grows, at most once a frame. */
  async follow(
    request: GenerationRequest,
    about: Pick<Run, 'prompt'>,
    show: (run: Run) => void,
  ): Promise<void> {
    this.stop();
    const mine = new AbortController();
    this.#abort = mine;
    const collector = new UnitCollector();
    let run: Run = {
      phase: 'waiting',
      units: collector.units,
      tokens: 0,
      started: performance.now(),
      ...about,
    };
    let frame = 0;
    const update = (change: Partial<Run>, now = true) => {
      run = { ...run, ...change };
      if (this.#abort !== mine) return;
      if (now) {
        cancelAnimationFrame(frame);
        frame = 0;
        show(run);
      } else if (frame === 0) {
        frame = requestAnimationFrame(() => {
          frame = 0;
          if (this.#abort === mine) show(run);
        });
      }
    };
    update({});
    try {
      for await (const event of generate(request, mine.signal)) {
        if (event.type === 'loading') update({ phase: 'loading', loading: event });
        else if (event.type === 'open') update({ phase: 'waiting' });
        else if (event.type === 'piece') {
          // Without probabilities a piece is counted as one token until the server says the number.
          const count = collector.add(event.text, event.tokens) || (request.probabilities ? 0 : 1);
          update(
            {
              phase: 'streaming',
              tokens: run.tokens + count,
              first: run.first ?? performance.now(),
            },
            run.first === undefined,
          );
        } else {
          update({
            phase: 'done',
            reason: event.reason,
            tokens: event.tokens ?? run.tokens,
            ended: performance.now(),
          });
        }
      }
    } catch (thrown) {
      const ended = performance.now();
      if (isAbort(thrown) || mine.signal.aborted) update({ phase: 'stopped', ended });
      else update({ phase: 'failed', problem: toProblem(thrown), ended });
    }
  }
}
