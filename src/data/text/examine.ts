/** What a file to tune on holds, as a model will read it: counts, a sample, what is wrong. Knows no network and no files. */
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { chatPrompt, type Turn } from './chat.ts';
import { encodeConversation, examineConversations } from './instructions.ts';

/** Wrong lines that are named. */
const NAMED = 20;
const SAMPLED = 3;

export interface ExaminedConversations {
  kind: 'conversations';
  /** Lines that hold something. */
  lines: number;
  conversations: number;
  turns: number;
  /** Of the model that is to learn from it. */
  tokens: number;
  /** Those that are learned: what the assistant says. */
  answer_tokens: number;
  longest: number;
  /** Conversations that do not fit the model's context; only their ends are learned. */
  too_long: number;
  /** Characters that the model has no tokens for; they are left out. */
  unknown_characters: string[];
  /** Of the words that mark who speaks; a model without tokens for them cannot answer turns. */
  template_missing: string[];
  error_count: number;
  errors: { line: number; message: string }[];
  sample: Turn[][];
}

export interface ExaminedText {
  kind: 'text';
  characters: number;
  tokens: number;
  unknown_characters: string[];
  error_count: number;
  errors: { line: number; message: string }[];
  sample: string;
}

/** A model of characters knows only those it was trained on. */
function unknownIn(text: string, tokenizer: Tokenizer): string[] {
  if (tokenizer.kind !== 'characters') return [];
  const unknown = [...new Set(text)].filter(
    (character) => tokenizer.encode(character, { unknown: 'skip' }).length === 0,
  );
  return unknown.slice(0, NAMED);
}

/** Without words of their own: what is left is the template. */
const TURNS: Turn[] = (['system', 'user', 'assistant'] as const).map((role) => ({ role, content: '' }));

/** @param context tokens that the model sees at once */
export function examineAsConversations(
  text: string,
  tokenizer: Tokenizer,
  context: number,
): ExaminedConversations {
  const { conversations, lines, errors } = examineConversations(text);
  const encoded = conversations.map((turns) => encodeConversation(turns, tokenizer));
  const sizes = encoded.map(({ tokens }) => tokens.length);
  const said = conversations.flat().map(({ content }) => content);
  return {
    kind: 'conversations',
    lines,
    conversations: conversations.length,
    turns: conversations.reduce((total, turns) => total + turns.length, 0),
    tokens: sizes.reduce((total, size) => total + size, 0),
    answer_tokens: encoded.reduce((all, { weights }) => all + weights.reduce((a, b) => a + b, 0), 0),
    longest: sizes.reduce((most, size) => Math.max(most, size), 0),
    // One more than the context fits: the last token is only predicted.
    too_long: sizes.filter((size) => size > context + 1).length,
    unknown_characters: unknownIn(said.join(''), tokenizer),
    template_missing: unknownIn(chatPrompt(TURNS), tokenizer),
    error_count: errors.length,
    errors: errors.slice(0, NAMED).map(({ details, message }) => ({
      line: Number(details.line),
      message: String(details.why ?? message),
    })),
    sample: conversations.slice(0, SAMPLED),
  };
}

/** Characters of a text that are shown. */
const SHOWN = 600;

export function examineAsText(text: string, tokenizer: Tokenizer): ExaminedText {
  const line = text.slice(0, Math.max(0, text.search(/[\0\ufffd]/))).split('\n').length;
  const binary = /[\0\ufffd]/.test(text);
  return {
    kind: 'text',
    characters: [...text].length,
    tokens: binary ? 0 : tokenizer.encode(text, { unknown: 'skip' }).length,
    unknown_characters: binary ? [] : unknownIn(text, tokenizer),
    error_count: binary ? 1 : 0,
    errors: binary ? [{ line, message: 'it is not text in UTF-8' }] : [],
    sample: binary ? '' : [...text].slice(0, SHOWN).join(''),
  };
}
