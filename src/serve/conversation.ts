/** A conversation as every route has it, whatever its wire calls it: turns, calls of tools, and what they gave. */
import { InkstoneError } from '../base/errors.ts';
import type { ChatMessage } from './schemas.ts';

export interface ToolCall {
  id: string;
  name: string;
  /** JSON text as the model wrote it. */
  arguments: string;
}

export type Turn =
  | { role: 'system' | 'user'; content: string }
  | { role: 'assistant'; content: string; calls?: readonly ToolCall[] }
  | { role: 'tool'; content: string; callId: string; name?: string | undefined };

/** @throws InkstoneError `unsupported_parameter` for content that is not text, `parameter_invalid` for a result of no call */
export function turnsOfMessages(messages: readonly ChatMessage[]): Turn[] {
  const calls = new Map<string, string>();
  return messages.map((message, index): Turn => {
    const content = textOf(message, index);
    switch (message.role) {
      case 'assistant': {
        const made = (message.tool_calls ?? []).map(({ id, function: called }) => ({ id, ...called }));
        for (const { id, name } of made) calls.set(id, name);
        return made.length === 0
          ? { role: 'assistant', content }
          : {
              role: 'assistant',
              content,
              calls: made.map(({ id, name, arguments: given }) => ({ id, name, arguments: given })),
            };
      }
      case 'tool':
        return {
          role: 'tool',
          content,
          ...resultOf(message.tool_call_id, calls, `messages.${index}.tool_call_id`),
        };
      case 'function':
        return { role: 'tool', content, callId: '', name: message.name ?? undefined };
      case 'system':
      case 'developer':
        return { role: 'system', content };
      default:
        return { role: 'user', content };
    }
  });
}

/** A result belongs to a call before it. @throws InkstoneError `parameter_invalid` */
export function resultOf(
  callId: string | null | undefined,
  calls: ReadonlyMap<string, string>,
  param: string,
): { callId: string; name: string } {
  const name = calls.get(callId ?? '');
  if (typeof callId === 'string' && name !== undefined) return { callId, name };
  throw new InkstoneError(
    'parameter_invalid',
    `'${param}': a tool's result must follow the call that it belongs to`,
    { kind: 'usage', hint: 'send the call, too', details: { param } },
  );
}

function textOf({ content }: ChatMessage, index: number): string {
  if (typeof content === 'string') return content;
  return (content ?? [])
    .map((part, i) => {
      if (part.type === 'text' && part.text !== undefined) return part.text;
      if (part.type === 'refusal' && typeof part.refusal === 'string') return part.refusal;
      throw notText(part.type, `messages.${index}.content.${i}`);
    })
    .join('');
}

export function notText(type: string, param: string): InkstoneError {
  return new InkstoneError('unsupported_parameter', `'${param}': this model reads text, not ${type}`, {
    kind: 'unsupported',
    hint: 'send text parts only',
    details: { param },
  });
}
