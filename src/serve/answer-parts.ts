/** What a model says as parts of an answer: text, calls of tools, an end with its reason. Shared by all routes that answer. */
import { randomUUID } from 'node:crypto';
import type { FinishReason, TextToken } from '../base/contracts/generator.ts';
import type { ToolCall } from './conversation.ts';
import type { ChoiceEvent } from './generation.ts';
import { type TextPart, ToolCallParser } from './tool-parser.ts';
import type { Tooling } from './tools.ts';

export type AnswerEvent =
  | { index: number; type: 'text'; text: string; tokens: readonly TextToken[] }
  /** `call` counts the calls of one answer. */
  | { index: number; type: 'call'; call: number; id: string; name: string }
  | { index: number; type: 'arguments'; call: number; text: string }
  | { index: number; type: 'end'; reason: AnswerReason; promptTokens: number; completionTokens: number };

export type AnswerReason = 'stop' | 'length' | 'content_filter' | 'tool_calls';

/** One whole answer. */
export interface Answer {
  text: string;
  tokens: TextToken[];
  calls: ToolCall[];
}

/** Why an answer ended: being cut comes before everything, and who named the function expects no news of it. */
function reasonOf(reason: FinishReason, calls: number, tooling: Tooling | undefined): AnswerReason {
  if (reason === 'length' || reason === 'content_filter') return reason;
  return calls > 0 && tooling?.choice !== 'named' ? 'tool_calls' : 'stop';
}

/** @param tooling undefined where nothing may be called: then text is text, whatever it looks like */
export async function* answerParts(
  events: AsyncIterable<ChoiceEvent>,
  tooling: Tooling | undefined,
): AsyncGenerator<AnswerEvent> {
  const parsers = new Map<number, PartsOfOne>();
  for await (const event of events) {
    const { index } = event;
    if (tooling === undefined) {
      if (event.type === 'delta') yield { index, type: 'text', text: event.text, tokens: event.tokens };
      else yield { ...event, reason: reasonOf(event.reason, 0, undefined) };
      continue;
    }
    const parts = parsers.get(index) ?? new PartsOfOne(index, tooling);
    parsers.set(index, parts);
    if (event.type === 'delta') yield* parts.push(event.text, event.tokens);
    else {
      yield* parts.end(event.reason !== 'stop');
      yield { ...event, reason: reasonOf(event.reason, parts.calls, tooling) };
    }
  }
}

class PartsOfOne {
  calls = 0;
  private readonly index: number;
  private readonly parser: ToolCallParser;
  /** Reported with the text that they became; those of calls are not reported. */
  private tokens: TextToken[] = [];

  constructor(index: number, { tools, choice, parallel }: Tooling) {
    this.index = index;
    const names = new Set(tools.map(({ name }) => name));
    this.parser = new ToolCallParser({ names, parallel, forced: choice !== 'auto' });
  }

  push(text: string, tokens: readonly TextToken[]): AnswerEvent[] {
    this.tokens.push(...tokens);
    return this.parser.push(text).map((part) => this.eventOf(part));
  }

  end(cut: boolean): AnswerEvent[] {
    const events = this.parser.end(cut).map((part) => this.eventOf(part));
    if (this.tokens.length > 0 && this.calls === 0) events.push(this.eventOf({ type: 'text', text: '' }));
    return events;
  }

  private eventOf(part: TextPart): AnswerEvent {
    const { index } = this;
    if (part.type === 'arguments') return { index, type: 'arguments', call: this.calls - 1, text: part.text };
    const { tokens } = this;
    this.tokens = [];
    if (part.type === 'text') return { index, type: 'text', text: part.text, tokens };
    return { index, type: 'call', call: this.calls++, id: callId(), name: part.name };
  }
}

const callId = (): string => `call_${randomUUID().replaceAll('-', '').slice(0, 24)}`;

/** Adds an event to the answer that it belongs to. */
export function addTo(answer: Answer, event: AnswerEvent): void {
  if (event.type === 'text') {
    answer.text += event.text;
    answer.tokens.push(...event.tokens);
  } else if (event.type === 'call') answer.calls.push({ id: event.id, name: event.name, arguments: '' });
  else if (event.type === 'arguments') (answer.calls[event.call] as ToolCall).arguments += event.text;
}
