/**
 * Which class a picture belongs to: a table of labels where there is one, which must then list every picture, else its folder.
 * Knows no pixels.
 */
import { InkstoneError } from '../../base/errors.ts';

/** Path, or file name with or without its ending → label. */
export type LabelTable = ReadonlyMap<string, string>;

const KEYS = ['file', 'file_name', 'filename', 'path', 'name', 'image'];
const LABELS = ['label', 'class', 'category', 'categories'];

/** A table of `file,label` with a header, or JSON lines with such fields. @throws InkstoneError `labels_invalid` */
export function readLabels(name: string, text: string): LabelTable {
  const rows = /\.jsonl$/i.test(name) ? jsonRows(name, text) : tableRows(name, text);
  const table = new Map<string, string>();
  for (const row of rows) {
    const key = KEYS.map((field) => row[field]).find((value) => value !== undefined);
    const label = LABELS.map((field) => row[field]).find((value) => value !== undefined);
    if (typeof key !== 'string' || label === undefined) continue;
    const first = Array.isArray(label) ? label[0] : label;
    if (first !== undefined && first !== null) table.set(key, String(first));
  }
  return table;
}

export function labelOf(name: string, table: LabelTable | undefined): string | undefined {
  if (table !== undefined && table.size > 0) {
    const file = name.split('/').at(-1) as string;
    return table.get(name) ?? table.get(file) ?? table.get(file.replace(/\.[^.]+$/, ''));
  }
  return name.split('/').at(-2);
}

function jsonRows(name: string, text: string): Record<string, unknown>[] {
  const rows: Record<string, unknown>[] = [];
  text.split('\n').forEach((line, i) => {
    if (line.trim() === '') return;
    try {
      rows.push(JSON.parse(line) as Record<string, unknown>);
    } catch (cause) {
      throw invalid(name, i + 1, 'is not JSON', cause);
    }
  });
  return rows;
}

function tableRows(name: string, text: string): Record<string, unknown>[] {
  const separator = /\.tsv$/i.test(name) ? '\t' : ',';
  const [header = '', ...lines] = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  const fields = cells(header, separator).map((field) => field.trim().toLowerCase());
  if (!fields.some((field) => KEYS.includes(field)) || !fields.some((field) => LABELS.includes(field)))
    throw invalid(name, 1, `needs a column of files (${KEYS[0]}) and one of labels (${LABELS[0]})`);
  return lines
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const values = cells(line, separator);
      return Object.fromEntries(fields.map((field, i) => [field, values[i]]));
    });
}

/** One line of a table; a quoted cell may hold separators and doubled quotes. */
function cells(line: string, separator: string): string[] {
  const result: string[] = [];
  let cell = '';
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const letter = line[i] as string;
    if (letter === '"' && quoted && line[i + 1] === '"') cell += line[++i];
    else if (letter === '"') quoted = !quoted;
    else if (letter === separator && !quoted) {
      result.push(cell);
      cell = '';
    } else cell += letter;
  }
  return [...result, cell];
}

function invalid(name: string, line: number, why: string, cause?: unknown): InkstoneError {
  return new InkstoneError('labels_invalid', `line ${line} of ${name} ${why}`, {
    kind: 'data',
    hint: 'a table has a header with file and label; JSON lines have those fields',
    cause,
  });
}
