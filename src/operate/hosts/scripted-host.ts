/**
 * A model host without a model, for tests and simulations of what surrounds one: it writes at a given pace, and falls
 * over, falls silent or grows as its prompt tells it. Speaks as host-process.ts does.
 */
import type { TextEvent, TextRequest } from '../../base/contracts/generator.ts';
import { exit, memoryUse, monotonic, parentChannel } from '../../base/host.ts';
import type { FromHost, ToHost } from '../host-messages.ts';
import { scriptedModel } from './scripted-model.ts';

export interface HostScript {
  /** Milliseconds from token to token. */
  pace?: number;
  /** Milliseconds until it is ready. */
  start?: number;
  /** Ends instead of becoming ready. */
  stillborn?: boolean;
  /** Milliseconds between heartbeats. */
  beat?: number;
}

const channel = parentChannel();
const send = (message: FromHost): void => channel?.send(message);
const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));
const running = new Map<number, AbortController>();
const eaten: Uint8Array[] = [];
let script: HostScript = {};

/** `eat 300`: takes so many megabytes. `crash`, `hang`, `spin 500`: ends, falls silent, computes so many milliseconds. */
async function obey(command: string): Promise<void> {
  const [word, amount] = command.split(' ');
  if (word === 'crash') exit(9);
  if (word === 'hang') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  if (word === 'eat') eaten.push(new Uint8Array(Number(amount) * 2 ** 20).fill(1));
  if (word === 'spin') for (const end = monotonic() + Number(amount); monotonic() < end; );
}

async function generate(call: number, request: TextRequest): Promise<void> {
  const abort = new AbortController();
  running.set(call, abort);
  const [first = '', later] = request.prompt.split(' after ');
  if (later === undefined) await obey(first);
  const give = (event: TextEvent): void => send({ type: 'events', events: [{ call, event }] });
  give({ type: 'start', promptTokens: request.prompt.length });
  let made = 0;
  for (; made < request.sampling.maxTokens && !abort.signal.aborted; made++) {
    if (made === Number(later)) await obey(first);
    if (script.pace !== undefined) await pause(script.pace);
    give({ type: 'delta', text: 'a', tokens: [] });
  }
  const reason = abort.signal.aborted ? 'cancelled' : 'length';
  give({ type: 'end', reason, completionTokens: made });
  send({ type: 'done', call });
  running.delete(call);
}

async function open({ folder, id }: Extract<ToHost, { type: 'open' }>): Promise<void> {
  script = JSON.parse(folder) as HostScript;
  if (script.stillborn === true) exit(7);
  setInterval(() => send({ type: 'alive', memory: memoryUse().resident }), script.beat ?? 1000).unref();
  await pause(script.start ?? 0);
  send({ type: 'ready', model: scriptedModel(id) });
}

channel?.onMessage((raw) => {
  const message = raw as ToHost;
  if (message.type === 'open') void open(message);
  else if (message.type === 'generate') void generate(message.call, message.request);
  else if (message.type === 'cancel') running.get(message.call)?.abort();
  else if (message.type === 'count')
    send({ type: 'counted', call: message.call, count: message.text.length });
  else if (message.type === 'close') exit(0);
});
channel?.onClose(() => exit(0));
