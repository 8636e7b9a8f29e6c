/**
 * A response as it grows: items and the events that tell of them, in the order that clients count on. Without anybody
 * who listens it only collects. Knows no requests and no models.
 */
import type { TextToken } from '../../base/contracts/generator.ts';
import { now } from '../../base/host.ts';
import type { AnswerEvent } from '../answer-parts.ts';
import { itemId } from './kept.ts';

export interface ResponseHead extends Record<string, unknown> {
  id: string;
}

interface OutputText {
  type: 'output_text';
  text: string;
  annotations: never[];
  logprobs: object[];
}

type Item =
  | { id: string; type: 'message'; role: 'assistant'; status: string; content: OutputText[] }
  | { id: string; type: 'function_call'; status: string; call_id: string; name: string; arguments: string };

type Listener = (event: { type: string } & Record<string, unknown>) => Promise<void>;

const one = ({ token, logprob, bytes }: { token: string; logprob: number; bytes: readonly number[] }) => ({
  ...{ token, logprob, bytes: [...bytes] },
});
const logprobOf = (token: TextToken): object => ({ ...one(token), top_logprobs: token.top.map(one) });

export class ResponseWriter {
  private readonly head: ResponseHead;
  private readonly listener: Listener | undefined;
  private readonly items: Item[] = [];
  private sequence = 0;
  private final: Record<string, unknown> = {};

  /** @param head what every answer says of the request */
  constructor(head: ResponseHead, listener?: Listener) {
    this.head = head;
    this.listener = listener;
  }

  /** The response as it stands. */
  response(): { output: Item[] } & Record<string, unknown> {
    return {
      ...this.head,
      status: 'in_progress',
      ...{ completed_at: null, error: null, incomplete_details: null, usage: null },
      output: this.items,
      ...this.final,
    };
  }

  private async tell(type: string, more: object): Promise<void> {
    await this.listener?.({ type, sequence_number: this.sequence++, ...more });
  }

  async begin(): Promise<void> {
    await this.tell('response.created', { response: this.response() });
    await this.tell('response.in_progress', { response: this.response() });
  }

  /** @param complete called when all is there, before anybody is told: the next request may come at once */
  async take(event: AnswerEvent, complete: () => Promise<void>): Promise<void> {
    if (event.type === 'text') await this.text(event.text, event.tokens);
    else if (event.type === 'call') await this.call(event.id, event.name);
    else if (event.type === 'arguments') await this.argue(event.text);
    else await this.end(event, complete);
  }

  private open(): Item | undefined {
    const last = this.items.at(-1);
    return last?.status === 'in_progress' ? last : undefined;
  }

  private get index(): number {
    return this.items.length - 1;
  }

  private async add(item: Item): Promise<void> {
    this.items.push(item);
    await this.tell('response.output_item.added', { output_index: this.index, item });
  }

  private async openMessage(): Promise<OutputText> {
    const open = this.open();
    if (open?.type === 'message') return open.content[0] as OutputText;
    await this.close('completed');
    const id = itemId('msg', this.head.id, this.items.length);
    const message: Item = { id, type: 'message', role: 'assistant', status: 'in_progress', content: [] };
    await this.add(message);
    const part: OutputText = { type: 'output_text', text: '', annotations: [], logprobs: [] };
    message.content.push(part);
    await this.tell('response.content_part.added', {
      item_id: id,
      output_index: this.index,
      content_index: 0,
      part,
    });
    return part;
  }

  private async text(delta: string, tokens: readonly TextToken[]): Promise<void> {
    const part = await this.openMessage();
    const logprobs = tokens.map(logprobOf);
    part.text += delta;
    part.logprobs.push(...logprobs);
    const { id } = this.items[this.index] as Item;
    await this.tell('response.output_text.delta', {
      ...{ item_id: id, output_index: this.index, content_index: 0, delta, logprobs },
    });
  }

  private async call(callId: string, name: string): Promise<void> {
    await this.close('completed');
    const id = itemId('fc', this.head.id, this.items.length);
    await this.add({
      id,
      type: 'function_call',
      status: 'in_progress',
      call_id: callId,
      name,
      arguments: '',
    });
  }

  private async argue(delta: string): Promise<void> {
    const item = this.open();
    if (item?.type !== 'function_call') return;
    item.arguments += delta;
    await this.tell('response.function_call_arguments.delta', {
      ...{ item_id: item.id, output_index: this.index, delta },
    });
  }

  /** The open item has all it will have. */
  private async close(status: 'completed' | 'incomplete'): Promise<void> {
    const item = this.open();
    if (item === undefined) return;
    const place = { item_id: item.id, output_index: this.index };
    if (item.type === 'message') {
      const [part] = item.content as [OutputText];
      await this.tell('response.output_text.done', {
        ...place,
        ...{ content_index: 0, text: part.text, logprobs: part.logprobs },
      });
      await this.tell('response.content_part.done', { ...place, content_index: 0, part });
    } else
      await this.tell('response.function_call_arguments.done', {
        ...place,
        ...{ name: item.name, arguments: item.arguments },
      });
    item.status = status;
    await this.tell('response.output_item.done', { output_index: this.index, item });
  }

  private async end(
    event: Extract<AnswerEvent, { type: 'end' }>,
    complete: () => Promise<void>,
  ): Promise<void> {
    // An answer is never without an item.
    if (this.items.length === 0) await this.openMessage();
    const cut = event.reason === 'length' || event.reason === 'content_filter';
    await this.close(cut ? 'incomplete' : 'completed');
    const { promptTokens: input_tokens, completionTokens: output_tokens } = event;
    const reason = event.reason === 'length' ? 'max_output_tokens' : 'content_filter';
    this.final = {
      status: cut ? 'incomplete' : 'completed',
      completed_at: cut ? null : Math.floor(now() / 1000),
      incomplete_details: cut ? { reason } : null,
      usage: {
        input_tokens,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: input_tokens + output_tokens,
      },
    };
    await complete();
    await this.tell(cut ? 'response.incomplete' : 'response.completed', { response: this.response() });
  }

  /** The last event of a stream that broke: both SDKs throw what it says. */
  async fail(error: {
    message: string;
    type: string;
    param: string | null;
    code: string | null;
  }): Promise<void> {
    const { code, message, param } = error;
    await this.tell('error', { code, message, param, error });
  }
}
