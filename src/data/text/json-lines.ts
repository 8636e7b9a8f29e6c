/** JSON lines: one JSON value a line, with a text in it. Knows lines and fields; knows no files. */
import { InkstoneError } from '../../base/errors.ts';

/** UTF-16 units; what is longer is no line but a file of another kind. */
const LONGEST_LINE = 1 << 28;

/**
 * The text of each line, lines counted from 1; empty lines are passed over.
 * @param field holds the text; default `text`, else `paragraphs` (joined by newlines), else the line is a string
 * @throws InkstoneError `json_line_invalid`, which names the line
 */
export async function* readJsonLines(
  name: string,
  chunks: AsyncIterable<string>,
  field?: string,
): AsyncGenerator<{ line: number; text: string }> {
  let line = 0;
  for await (const content of lines(name, chunks)) {
    line++;
    if (content.trim() !== '') yield { line, text: textOf(`${name}:${line}`, content, field) };
  }
}

async function* lines(name: string, chunks: AsyncIterable<string>): AsyncGenerator<string> {
  // A line over many chunks is joined once, when it ends.
  let held: string[] = [];
  let size = 0;
  let count = 0;
  for await (const chunk of chunks) {
    const parts = chunk.split('\n');
    const last = parts.pop() as string;
    for (const part of parts) {
      count++;
      yield held.length === 0 ? part : held.join('') + part;
      held = [];
      size = 0;
    }
    held.push(last);
    size += last.length;
    if (size > LONGEST_LINE) throw invalid(`${name}:${count + 1} is too long for a line`);
  }
  const rest = held.join('');
  if (rest !== '') yield rest;
}

function textOf(place: string, line: string, field: string | undefined): string {
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch (cause) {
    throw invalid(`${place} is not JSON`, cause);
  }
  if (typeof row === 'string' && field === undefined) return wellFormed(row);
  const record = (typeof row === 'object' && row !== null ? row : {}) as Record<string, unknown>;
  const value = field === undefined ? (record.text ?? record.paragraphs) : record[field];
  if (typeof value === 'string') return wellFormed(value);
  if (Array.isArray(value) && value.every((v) => typeof v === 'string')) return wellFormed(value.join('\n'));
  throw new InkstoneError(
    'json_line_invalid',
    `${place} has no text in ${field === undefined ? '"text" or "paragraphs"' : `"${field}"`}`,
    { kind: 'data', hint: 'name the field that holds the text with --field' },
  );
}

/** JSON can spell half a character (`"\ud83d"`), which no UTF-8 can hold: U+FFFD stands for it. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}

function invalid(message: string, cause?: unknown): InkstoneError {
  return new InkstoneError('json_line_invalid', message, {
    kind: 'data',
    hint: 'each line must be one JSON object',
    cause,
  });
}
