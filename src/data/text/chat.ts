/**
 * Turns of a chat as text, one way for tuning and for answering: `User: …`, an empty line, `Assistant: …`. Works with
 * any tokenizer, for it needs no tokens of its own. Knows no network.
 */

export interface Turn {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

const NAME: Record<Turn['role'], string> = { system: 'System', user: 'User', assistant: 'Assistant' };
const GAP = '\n\n';

/** What a model tuned to this template goes on from. */
export function chatPrompt(turns: readonly Turn[]): string {
  return `${turns.map(({ role, content }) => `${NAME[role]}: ${content}${GAP}`).join('')}${NAME.assistant}:`;
}

/** Pieces of a conversation in order; `answer` marks what the model is to learn. */
export function chatPieces(turns: readonly Turn[]): { text: string; answer: boolean }[] {
  return turns.flatMap(({ role, content }) =>
    role === 'assistant'
      ? [
          { text: `${NAME.assistant}:`, answer: false },
          { text: ` ${content}`, answer: true },
        ]
      : [{ text: `${NAME[role]}: ${content}${GAP}`, answer: false }],
  );
}

/** Where a vocabulary has no end of text, an answer ends before the next turn. */
export const CHAT_STOP = [`${GAP}${NAME.user}:`, `${GAP}${NAME.system}:`] as const;
/** Separates the end of an answer from the next turn, for tokenizers without an end of text. */
export const CHAT_GAP = GAP;
