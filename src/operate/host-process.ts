/**
 * A model host: a process that holds one model and answers its server's messages. Sessions run in its own
 * thread, because it does nothing else; it ends when the server goes away.
 */
import { type ErrorKind, InkstoneError } from '../base/errors.ts';
import { exit, memoryUse, parentChannel } from '../base/host.ts';
import { createBackend } from '../runtime/index.ts';
import type { FromHost, SentError, ToHost } from './host-messages.ts';
import { describe, TextGenerator } from './text-generator.ts';

const channel = parentChannel();
const send = (message: FromHost): void => channel?.send(message);
const running = new Map<number, AbortController>();
let generator: TextGenerator | undefined;

function sent(thrown: unknown): SentError {
  const { code, message, kind, hint, details } = InkstoneError.from(thrown, 'generation_failed');
  return { code, message, kind: kind satisfies ErrorKind, hint, details };
}

async function open(message: Extract<ToHost, { type: 'open' }>): Promise<void> {
  send({ type: 'progress', progress: 0.1 });
  const backend = await createBackend('cpu', { inline: true, threads: message.threads });
  generator = await TextGenerator.open(message.folder, backend, { maxBatch: message.maxBatch });
  send({ type: 'progress', progress: 0.9 });
  // The first run of a session allocates; nobody should wait for that.
  const warm = {
    id: 'warm-up',
    prompt: '',
    sampling: { maxTokens: 2, temperature: 0, topK: 0, topP: 1, seed: 0, stop: [] },
  };
  for await (const event of generator.generate(warm)) void event;
  send({ type: 'ready', model: describe(generator.info, message.id) });
}

async function generate({ call, request }: Extract<ToHost, { type: 'generate' }>): Promise<void> {
  const abort = new AbortController();
  running.set(call, abort);
  try {
    for await (const event of (generator as TextGenerator).generate(request, abort.signal))
      send({ type: 'event', call, event });
    send({ type: 'done', call });
  } catch (thrown) {
    send({ type: 'error', call, error: sent(thrown) });
  } finally {
    running.delete(call);
  }
}

channel?.onMessage((raw) => {
  const message = raw as ToHost;
  switch (message.type) {
    case 'open':
      open(message).catch((thrown: unknown) => send({ type: 'failed', error: sent(thrown) }));
      break;
    case 'generate':
      void generate(message);
      break;
    case 'cancel':
      running.get(message.call)?.abort();
      break;
    case 'count':
      try {
        send({
          type: 'counted',
          call: message.call,
          count: (generator as TextGenerator).countTokens(message.text),
        });
      } catch (thrown) {
        send({ type: 'error', call: message.call, error: sent(thrown) });
      }
      break;
    case 'close':
      void generator?.close().finally(() => exit(0));
      break;
  }
});
channel?.onClose(() => exit(0));
setInterval(() => send({ type: 'alive', memory: memoryUse().resident }), 2000).unref();
