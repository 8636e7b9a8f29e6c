/**
 * A model host: a process that holds one model and answers its server's messages. Sessions run in its own
 * thread, because it does nothing else; it ends when the server goes away.
 */
import type { TextEvent } from '../base/contracts/generator.ts';
import { type ErrorKind, InkstoneError } from '../base/errors.ts';
import { afterThis, exit, heldMemory, memoryUse, parentChannel, writeError } from '../base/host.ts';
import { familyOf } from '../models/image/load.ts';
import { isBert } from '../models/text/any.ts';
import type { Backend } from '../runtime/contract.ts';
import { createBackend } from '../runtime/index.ts';
import type { FromHost, SentError, ToHost } from './host-messages.ts';
import { IdleInspector } from './idle-inspector.ts';
import { describe, describeModel, isOpen, type OpenModelInfo } from './model-info.ts';
import { type ClosingEmbedder, openCheckpoint } from './open-checkpoint.ts';
import { describePictures, LocalPictures } from './picture-source.ts';
import { TextEmbedder } from './text-embedder.ts';
import { TextGenerator } from './text-generator.ts';
import { TextInspector } from './text-inspector.ts';
import { decodingStatus, traced } from './watch/in-host.ts';

const channel = parentChannel();
/** Events that one step made, of all its sequences: a message for each would cost both processes more than its text. */
const made: { call: number; event: TextEvent }[] = [];
const send = (message: FromHost): void => {
  tell();
  channel?.send(message);
};
function tell(): void {
  if (made.length > 0) channel?.send({ type: 'events', events: made.splice(0) } satisfies FromHost);
}
function give(call: number, event: TextEvent): void {
  if (made.length === 0) afterThis(tell);
  made.push({ call, event });
}
const running = new Map<number, AbortController>();
let generator: TextGenerator | undefined;
/** Made when first asked for, where the model also writes. */
let embedder: Promise<ClosingEmbedder> | undefined;
let inspector: IdleInspector | undefined;
let pictures: LocalPictures | undefined;
let openEmbedder: () => Promise<ClosingEmbedder> = () => Promise.reject(notOpen());

function notOpen(): InkstoneError {
  return new InkstoneError('model_loading', 'the model is being loaded', { kind: 'resource' });
}

function writer(): TextGenerator {
  if (generator !== undefined) return generator;
  throw embedder === undefined
    ? notOpen()
    : new InkstoneError('model_writes_nothing', 'this model gives embeddings and writes no text', {
        kind: 'unsupported',
        hint: 'send it to /v1/embeddings',
      });
}

/** A failure is not kept: memory may be there the next time. */
function embedding(): Promise<ClosingEmbedder> {
  embedder ??= openEmbedder().catch((thrown: unknown) => {
    embedder = undefined;
    throw thrown;
  });
  return embedder;
}

function sent(thrown: unknown): SentError {
  const { code, message, kind, hint, details } = InkstoneError.from(thrown, 'generation_failed');
  return { code, message, kind: kind satisfies ErrorKind, hint, details };
}

async function open(message: Extract<ToHost, { type: 'open' }>): Promise<void> {
  send({ type: 'progress', progress: 0.1 });
  const isImage = (await familyOf(message.folder)) === 'image';
  const info = isImage ? undefined : await describeModel(message.folder);
  if (info !== undefined && isOpen(info)) return openOther(message, info);
  const backend = await createBackend('cpu', { inline: true, threads: message.threads });
  if (info === undefined) {
    pictures = await LocalPictures.open(message.folder, message.id, backend);
    send({ type: 'progress', progress: 0.9 });
    await pictures.pictures({ id: 'warm-up', count: 1, seed: 0, format: 'png' });
    send({ type: 'ready', model: describePictures(pictures.info, message.id) });
    return;
  }
  openEmbedder = () => TextEmbedder.open(message.folder, backend);
  inspector = new IdleInspector(() => TextInspector.open(message.folder, backend));
  if (isBert(info.config)) await warmEmbedder();
  else await openWriter(message, backend);
  send({ type: 'ready', model: describe(info, message.id) });
}

/** A model that another engine runs: nobody looks inside. */
async function openOther(message: Extract<ToHost, { type: 'open' }>, info: OpenModelInfo): Promise<void> {
  const opened = await openCheckpoint(info, {
    threads: message.threads,
    maxBatch: message.maxBatch,
    ...(message.cacheBytes === undefined ? {} : { cacheBytes: message.cacheBytes }),
    packages: { folder: message.packages, note: (line) => writeError(`${line}\n`) },
    onProgress: (share) => send({ type: 'progress', progress: 0.1 + 0.8 * share }),
  });
  openEmbedder = opened.embedder;
  generator = opened.generator;
  if (generator === undefined) await warmEmbedder();
  else await warmWriter(generator);
  send({ type: 'ready', model: { ...describe(info, message.id), context: opened.context } });
}

async function warmEmbedder(): Promise<void> {
  const opened = await embedding();
  send({ type: 'progress', progress: 0.9 });
  await opened.embed({ id: 'warm-up', texts: ['a'] });
}

async function openWriter(message: Extract<ToHost, { type: 'open' }>, backend: Backend): Promise<void> {
  generator = await TextGenerator.open(message.folder, backend, {
    maxBatch: message.maxBatch,
    ...(message.weights === undefined ? {} : { weights: message.weights }),
    ...(message.cacheBytes === undefined ? {} : { cacheBytes: message.cacheBytes }),
  });
  send({ type: 'progress', progress: 0.9 });
  await warmWriter(generator);
}

async function warmWriter(opened: TextGenerator): Promise<void> {
  // The first run of a session allocates; nobody should wait for that.
  const warm = {
    id: 'warm-up',
    prompt: '',
    sampling: { maxTokens: 2, temperature: 0, topK: 0, topP: 1, seed: 0, stop: [] },
  };
  for await (const event of opened.generate(warm)) void event;
}

/** Runs until done or cancelled; what it throws goes back. */
async function work(call: number, run: (signal: AbortSignal) => Promise<FromHost>): Promise<void> {
  const abort = new AbortController();
  running.set(call, abort);
  try {
    send(await run(abort.signal));
  } catch (thrown) {
    send({ type: 'error', call, error: sent(thrown) });
  } finally {
    running.delete(call);
  }
}

const generate = ({ call, request }: Extract<ToHost, { type: 'generate' }>): Promise<void> =>
  work(call, async (signal) => {
    for await (const event of traced(request, writer().generate(request, signal))) give(call, event);
    return { type: 'done', call };
  });

const embed = ({ call, request }: Extract<ToHost, { type: 'embed' }>): Promise<void> =>
  work(call, async (signal) => ({
    type: 'embedded',
    call,
    embeddings: await (await embedding()).embed(request, signal),
  }));

const picture = ({ call, request }: Extract<ToHost, { type: 'pictures' }>): Promise<void> =>
  work(call, async (signal) => {
    if (pictures === undefined) throw notOpen();
    return { type: 'pictured', call, files: await pictures.pictures(request, signal) };
  });

const inspect = ({ call, request }: Extract<ToHost, { type: 'inspect' }>): Promise<void> =>
  work(call, async (signal) => {
    if (inspector === undefined)
      throw generator === undefined
        ? notOpen()
        : new InkstoneError('engine_unsupported', 'this model’s engine lets nobody look inside', {
            kind: 'unsupported',
            hint: 'take the same model as a Hugging Face folder',
          });
    return { type: 'inspected', call, inspection: await inspector.inspect(request, signal) };
  });

channel?.onMessage((raw) => {
  const message = raw as ToHost;
  switch (message.type) {
    case 'open':
      open(message).catch((thrown: unknown) => send({ type: 'failed', error: sent(thrown) }));
      break;
    case 'generate':
      void generate(message);
      break;
    case 'embed':
      void embed(message);
      break;
    case 'measure':
      void work(message.call, async () => ({
        type: 'measured',
        call: message.call,
        lengths: await (await embedding()).lengths(message.texts),
      }));
      break;
    case 'pictures':
      void picture(message);
      break;
    case 'inspect':
      void inspect(message);
      break;
    case 'cancel':
      running.get(message.call)?.abort();
      break;
    case 'count':
      void work(message.call, async () => ({
        type: 'counted',
        call: message.call,
        count: writer().countTokens(message.text),
      }));
      break;
    case 'close':
      void Promise.allSettled([
        generator?.close(),
        pictures?.close(),
        embedder?.then((one) => one.close()),
      ]).then(() => exit(0));
      break;
  }
});
channel?.onClose(() => exit(0));
setInterval(() => {
  const decoding = decodingStatus(generator?.status());
  const held = heldMemory();
  send({
    ...{ type: 'alive', memory: memoryUse().resident },
    ...(held === undefined ? {} : { held }),
    ...(decoding === undefined ? {} : { decoding }),
  });
}, 1000).unref();
