/**
 * A process that renders chat templates: they come with models, from anywhere, and may run for ever or eat memory. Here
 * they cost only themselves: a thread that is out of memory can take its whole process with it. Knows no models; answers
 * its parent's messages.
 */
import { Template } from '@huggingface/jinja';
import { exit, parentChannel } from '../base/host.ts';

export interface RenderCall {
  source: string;
  values: Record<string, unknown>;
}

/** `ready` once, before any call is heard: what it took to start is no template's time. */
export type RenderAnswer = { text: string } | { error: string } | { ready: true };

/** Compiled, the last used last. */
const known = new Map<string, Template>();
const KEPT = 16;

function compiled(source: string): Template {
  const template = known.get(source) ?? new Template(source);
  known.delete(source);
  known.set(source, template);
  for (const oldest of known.keys()) {
    if (known.size <= KEPT) break;
    known.delete(oldest);
  }
  return template;
}

function render({ source, values }: RenderCall): RenderAnswer {
  try {
    return { text: compiled(source).render(values) };
  } catch (thrown) {
    return { error: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}

const channel = parentChannel();
channel?.onMessage((call) => channel.send(render(call as RenderCall)));
channel?.onClose(() => exit(0));
channel?.send({ ready: true } satisfies RenderAnswer);
