/** One request to a model that may still be loading: asked again until it answers. Knows no shapes of answers. */
import { RequestFailure, send } from './client.ts';

export interface Loading {
  message: string;
  /** 0 to 1, where the server says. */
  progress?: number;
}

/** Yields each time the model is still loading; returns the answer. @throws RequestFailure; DOMException `AbortError` */
export async function* patiently(
  path: string,
  body: unknown,
  signal: AbortSignal,
): AsyncGenerator<Loading, Response> {
  for (;;) {
    try {
      return await send(path, { method: 'POST', body, signal });
    } catch (thrown) {
      if (!(thrown instanceof RequestFailure) || thrown.problem.kind !== 'loading') throw thrown;
      const { message, progress, retryAfter } = thrown.problem;
      yield { message, ...(progress === undefined ? {} : { progress }) };
      await sleep(Math.min(2, Math.max(0.25, retryAfter ?? 1)), signal);
    }
  }
}

function sleep(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException('Stopped', 'AbortError'));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, seconds * 1000);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}
