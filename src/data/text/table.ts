/**
 * Tables as rows of named fields: JSON lines, comma-separated values (RFC 4180) and tab-separated ones. Knows files and
 * quoting; knows nothing of what the fields mean.
 */
import path from 'node:path';
import { InkstoneError } from '../../base/errors.ts';
import { exists, readText } from '../../base/host.ts';

export interface TableRow {
  /** Line of the file on which the row begins, from 1. */
  line: number;
  fields: Readonly<Record<string, string>>;
}

const bad = (place: string, why: string, hint: string, cause?: unknown): InkstoneError =>
  new InkstoneError('table_invalid', `${place}: ${why}`, { kind: 'data', hint, cause });

/** @throws InkstoneError `table_missing`, `table_kind_unknown`, `table_invalid` (which names the line), `data_empty` */
export async function readTable(file: string): Promise<TableRow[]> {
  if (!(await exists(file)))
    throw new InkstoneError('table_missing', `there is no file ${file}`, { kind: 'missing' });
  const kind = path.extname(file).toLowerCase();
  const text = await readText(file);
  const rows =
    kind === '.csv' || kind === '.tsv'
      ? separatedRows(text, kind === '.csv' ? ',' : '\t', file)
      : kind === '.jsonl' || kind === '.ndjson'
        ? jsonRows(text, file)
        : undefined;
  if (rows === undefined)
    throw new InkstoneError('table_kind_unknown', `${file} is no table that can be read`, {
      kind: 'usage',
      hint: 'give JSON lines (.jsonl), comma-separated (.csv) or tab-separated values (.tsv)',
    });
  if (rows.length === 0)
    throw new InkstoneError('data_empty', `${file} has no rows`, {
      kind: 'data',
      hint: 'give a table with rows',
    });
  return rows;
}

/** One JSON object a line; numbers and truth values become their text. */
export function jsonRows(text: string, name = 'table'): TableRow[] {
  const hint = 'each line must be one JSON object with texts, numbers or truth values in it';
  return text.split('\n').flatMap((content, i) => {
    if (content.trim() === '') return [];
    let row: unknown;
    try {
      row = JSON.parse(content);
    } catch (cause) {
      throw bad(`${name}:${i + 1}`, 'it is not JSON', hint, cause);
    }
    if (typeof row !== 'object' || row === null || Array.isArray(row))
      throw bad(`${name}:${i + 1}`, 'it is no object', hint);
    const plain = Object.entries(row).filter(([, value]) =>
      ['string', 'number', 'boolean'].includes(typeof value),
    );
    return [{ line: i + 1, fields: Object.fromEntries(plain.map(([key, value]) => [key, String(value)])) }];
  });
}

/** The first record names the fields. Quoted values may hold separators, line ends and doubled quotes. */
export function separatedRows(text: string, separator: string, name = 'table'): TableRow[] {
  const records = recordsOf(text.replace(/^\ufeff/, ''), separator, name);
  const [head, ...rest] = records;
  if (head === undefined) return [];
  const twice = head.values.find((field, i) => head.values.indexOf(field) !== i);
  if (twice !== undefined)
    throw bad(`${name}:1`, `two columns are called "${twice}"`, 'give each column a name of its own');
  return rest.map(({ line, values }) => {
    if (values.length !== head.values.length)
      throw bad(
        `${name}:${line}`,
        `it has ${values.length} values, the first line names ${head.values.length}`,
        'put values with separators or line ends in them into "double quotes"',
      );
    return { line, fields: Object.fromEntries(head.values.map((field, i) => [field, values[i] as string])) };
  });
}

interface Separated {
  line: number;
  values: string[];
}

function recordsOf(text: string, separator: string, name: string): Separated[] {
  const records: Separated[] = [];
  let [at, line] = [0, 1];
  while (at < text.length) {
    const record: Separated = { line, values: [] };
    for (;;) {
      let value = '';
      if (text[at] === '"') {
        const opened = line;
        for (at++; ; at++) {
          if (at >= text.length)
            throw bad(
              `${name}:${opened}`,
              'a quotation mark is never closed',
              'close it, or double it within a value',
            );
          if (text[at] === '"' && text[at + 1] === '"') at++;
          else if (text[at] === '"') break;
          if (text[at] === '\n') line++;
          value += text[at];
        }
        at++;
        if (at < text.length && text[at] !== separator && text[at] !== '\n' && text[at] !== '\r')
          throw bad(
            `${name}:${line}`,
            'something follows a closing quotation mark',
            'double quotation marks that belong to a value',
          );
      } else {
        const from = at;
        while (at < text.length && text[at] !== separator && text[at] !== '\n') at++;
        value = text.slice(from, at);
        if (text[at] !== separator) value = value.replace(/\r$/, '');
      }
      record.values.push(value);
      if (text[at] === separator) {
        at++;
        continue;
      }
      break;
    }
    if (text[at] === '\r') at++;
    at++;
    line++;
    if (record.values.length > 1 || record.values[0] !== '') records.push(record);
  }
  return records;
}
