/**
 * A signal that follows others and lets go of them. `AbortSignal.any` leaves a trace of each signal it makes in those that it
 * follows, for as long as they live: one that lives with its server would grow with every request.
 */

export interface Following {
  readonly signal: AbortSignal;
  /** Follows no more, and is held by none of the others; always called. */
  release(): void;
}

/** Aborted, with the reason of the first, as soon as one of them is; undefined ones are left out. */
export function following(...signals: readonly (AbortSignal | undefined)[]): Following {
  const own = new AbortController();
  const followed = signals.filter((one) => one !== undefined);
  const stop = (event: Event): void => own.abort((event.target as AbortSignal).reason);
  const release = (): void => {
    for (const one of followed) one.removeEventListener('abort', stop);
  };
  const over = followed.find(({ aborted }) => aborted);
  if (over !== undefined) own.abort(over.reason);
  else for (const one of followed) one.addEventListener('abort', stop, { once: true });
  return { signal: own.signal, release };
}
