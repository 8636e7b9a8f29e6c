/**
 * Conversations for instruction tuning: JSON lines as OpenAI's fine-tuning takes them, as packed rows of tokens with
 * weight on the answers only. Knows no network.
 */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { Random } from '../../base/rng.ts';
import { type HostTensors, tensor } from '../../base/tensor.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { CHAT_GAP, chatPieces, type Turn } from './chat.ts';

const line = z.union([
  z.object({
    messages: z
      .array(z.object({ role: z.enum(['system', 'developer', 'user', 'assistant']), content: z.string() }))
      .min(2),
  }),
  z.object({ prompt: z.string(), completion: z.string().min(1) }),
]);

const badLine = (number: number, why: string, cause?: unknown): InkstoneError =>
  new InkstoneError('json_line_invalid', `line ${number}: ${why}`, {
    kind: 'data',
    hint: 'each line is {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
    cause,
    details: { line: number, why },
  });

/** @throws InkstoneError `json_line_invalid` */
function conversationOf(content: string, number: number): Turn[] {
  let raw: unknown;
  try {
    raw = JSON.parse(content);
  } catch (cause) {
    throw badLine(number, 'it is not JSON', cause);
  }
  const read = line.safeParse(raw);
  if (!read.success) throw badLine(number, 'it has no messages, and no prompt and completion', read.error);
  const turns =
    'messages' in read.data
      ? read.data.messages.map(
          ({ role, content }): Turn => ({
            role: role === 'developer' ? 'system' : role,
            content,
          }),
        )
      : [
          { role: 'user' as const, content: read.data.prompt },
          { role: 'assistant' as const, content: read.data.completion },
        ];
  if (turns.at(-1)?.role !== 'assistant') throw badLine(number, 'the last message is not the assistant’s');
  return turns;
}

/** All lines, the bad ones with what is wrong with each. */
export function examineConversations(text: string): {
  conversations: Turn[][];
  lines: number;
  errors: InkstoneError[];
} {
  const conversations: Turn[][] = [];
  const errors: InkstoneError[] = [];
  let lines = 0;
  text.split('\n').forEach((content, i) => {
    if (content.trim() === '') return;
    lines++;
    try {
      conversations.push(conversationOf(content, i + 1));
    } catch (thrown) {
      errors.push(InkstoneError.from(thrown));
    }
  });
  return { conversations, lines, errors };
}

/** @throws InkstoneError `json_line_invalid`, which names the line; `data_empty` */
export function readConversations(text: string): Turn[][] {
  const { conversations, errors } = examineConversations(text);
  if (errors[0] !== undefined) throw errors[0];
  if (conversations.length === 0)
    throw new InkstoneError('data_empty', 'the file has no conversations', {
      kind: 'data',
      hint: 'give one JSON object a line, each with messages',
    });
  return conversations;
}

/** A conversation as tokens; `weights[i]` is 1 where token i is to be learned. */
export interface EncodedConversation {
  tokens: number[];
  weights: number[];
}

export function encodeConversation(turns: readonly Turn[], tokenizer: Tokenizer): EncodedConversation {
  const tokens: number[] = [];
  const weights: number[] = [];
  const put = (ids: readonly number[], weight: number): void => {
    for (const id of ids) {
      tokens.push(id);
      weights.push(weight);
    }
  };
  for (const { text, answer } of chatPieces(turns)) {
    put(tokenizer.encode(text, { unknown: 'skip' }), answer ? 1 : 0);
    if (!answer) continue;
    put(
      tokenizer.endOfText === undefined
        ? tokenizer.encode(CHAT_GAP, { unknown: 'skip' })
        : [tokenizer.endOfText],
      1,
    );
  }
  return { tokens, weights };
}

interface PackedRow {
  tokens: Int32Array;
  targets: Int32Array;
  segments: Int32Array;
  positions: Int32Array;
  weights: Float32Array;
}

/**
 * Rows of `context` tokens, conversations side by side: each goes into the first row that has room, the longest first,
 * so that few places stay empty. One that is longer than a row keeps its end.
 */
export function packConversations(all: readonly EncodedConversation[], context: number): PackedRow[] {
  const parts = all
    .map(({ tokens, weights }) => ({
      tokens: tokens.slice(-context - 1),
      weights: weights.slice(-context - 1),
    }))
    .filter(({ tokens, weights }) => tokens.length > 1 && weights.slice(1).includes(1))
    .sort((a, b) => b.tokens.length - a.tokens.length);
  const rows: { parts: EncodedConversation[]; used: number }[] = [];
  for (const part of parts) {
    const size = part.tokens.length - 1;
    const row = rows.find(({ used }) => used + size <= context);
    if (row === undefined) rows.push({ parts: [part], used: size });
    else {
      row.parts.push(part);
      row.used += size;
    }
  }
  return rows.map(({ parts: own }) => {
    const row: PackedRow = {
      tokens: new Int32Array(context),
      targets: new Int32Array(context),
      // Places without a text are a segment of their own.
      segments: new Int32Array(context).fill(own.length),
      positions: new Int32Array(context),
      weights: new Float32Array(context),
    };
    let at = 0;
    own.forEach(({ tokens, weights }, segment) => {
      const size = tokens.length - 1;
      row.tokens.set(tokens.slice(0, size), at);
      row.targets.set(tokens.slice(1), at);
      row.segments.fill(segment, at, at + size);
      for (let i = 0; i < size; i++) row.positions[at + i] = i;
      row.weights.set(weights.slice(1), at);
      at += size;
    });
    return row;
  });
}

/** Rows `picks` as one batch; a pick of −1 is an empty row. */
export function packedBatch(
  rows: readonly PackedRow[],
  picks: readonly number[],
  context: number,
): HostTensors {
  const whole = (of: (row: PackedRow) => Int32Array): Int32Array => {
    const data = new Int32Array(picks.length * context);
    picks.forEach((pick, b) => {
      if (pick >= 0) data.set(of(rows[pick] as PackedRow), b * context);
    });
    return data;
  };
  const weights = new Float32Array(picks.length * context);
  picks.forEach((pick, b) => {
    if (pick >= 0) weights.set((rows[pick] as PackedRow).weights, b * context);
  });
  const shape = [picks.length, context];
  return {
    tokens: tensor(
      'i32',
      shape,
      whole((row) => row.tokens),
    ),
    targets: tensor(
      'i32',
      shape,
      whole((row) => row.targets),
    ),
    segments: tensor(
      'i32',
      shape,
      whole((row) => row.segments),
    ),
    positions: tensor(
      'i32',
      shape,
      whole((row) => row.positions),
    ),
    weights: tensor('f32', shape, weights),
  };
}

/** Rows of a step: every row comes once in each pass over the data, in an order of its own. */
export function rowsOfStep(count: number, batch: number, seed: number, step: number): number[] {
  return Array.from({ length: batch }, (_, b) => {
    const drawn = step * batch + b;
    const random = new Random(seed, 'rows', Math.floor(drawn / count));
    const order = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = random.integer(i + 1);
      [order[i], order[j]] = [order[j] as number, order[i] as number];
    }
    return order[drawn % count] as number;
  });
}
