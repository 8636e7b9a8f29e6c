/**
 * Turns of a chat as one text, for models without a chat template of their own: what was said, in order, with
 * an empty line between turns, and nothing behind the last, so that a base model goes on from the user's words.
 */
import { InkstoneError } from '../base/errors.ts';
import type { Turn } from '../data/text/chat.ts';
import type { ChatMessage } from './schemas.ts';

/** @throws InkstoneError `unsupported_parameter` for content that is not text */
export function promptOfTurns(messages: readonly ChatMessage[]): string {
  return messages
    .map(textOf)
    .filter((text) => text !== '')
    .join('\n\n');
}

/** The same turns for a model that was tuned to a template: who said what. */
export function turnsOf(messages: readonly ChatMessage[]): Turn[] {
  return messages.map((message, index) => ({
    role:
      message.role === 'assistant' ? 'assistant' : /system|developer/.test(message.role) ? 'system' : 'user',
    content: textOf(message, index),
  }));
}

function textOf({ content }: ChatMessage, index: number): string {
  if (typeof content === 'string') return content;
  return (content ?? [])
    .map((part, i) => {
      if (part.type === 'text' && part.text !== undefined) return part.text;
      const param = `messages.${index}.content.${i}`;
      throw new InkstoneError(
        'unsupported_parameter',
        `'${param}': this model reads text, not ${part.type}`,
        { kind: 'unsupported', hint: 'send text parts only', details: { param } },
      );
    })
    .join('');
}
