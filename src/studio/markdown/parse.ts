/**
 * The part of Markdown that model cards use, as a tree: headings, paragraphs, lists, tables, quotes, code,
 * emphasis, links. HTML is text here, never markup; links lead to http, https, mailto or into the page.
 */

export type Inline =
  | { type: 'text'; text: string }
  | { type: 'code'; text: string }
  | { type: 'break' }
  | { type: 'strong' | 'emphasis'; children: Inline[] }
  | { type: 'link'; address: string; children: Inline[] };

export type Block =
  | { type: 'heading'; level: number; children: Inline[] }
  | { type: 'paragraph'; children: Inline[] }
  | { type: 'code'; text: string }
  | { type: 'rule' }
  | { type: 'quote'; children: Block[] }
  | { type: 'list'; ordered: boolean; items: Block[][] }
  | { type: 'table'; head: Inline[][]; rows: Inline[][][] };

const FENCE = /^ {0,3}(```+|~~~+)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(\s+|$)/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const DEEPEST = 8;

/** Parses a text; front matter between `---` lines at its start is left out. */
export function parseMarkdown(source: string): Block[] {
  const text = source.replace(/\r\n?/g, '\n').replace(/^---\n[\s\S]*?\n---\n/, '');
  return blocks(text.split('\n'), 0);
}

function blocks(lines: string[], depth: number): Block[] {
  const found: Block[] = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at] as string;
    if (line.trim() === '') {
      at += 1;
      continue;
    }
    const fence = FENCE.exec(line)?.[1];
    if (fence !== undefined) {
      const end = lines.findIndex((other, index) => index > at && other.trimStart().startsWith(fence));
      const last = end === -1 ? lines.length : end;
      found.push({ type: 'code', text: lines.slice(at + 1, last).join('\n') });
      at = last + 1;
      continue;
    }
    const heading = HEADING.exec(line);
    if (heading !== null) {
      found.push({
        type: 'heading',
        level: (heading[1] as string).length,
        children: inlines(heading[2] ?? ''),
      });
      at += 1;
      continue;
    }
    if (RULE.test(line)) {
      found.push({ type: 'rule' });
      at += 1;
      continue;
    }
    if (QUOTE.test(line) && depth < DEEPEST) {
      const end = until(lines, at, (other) => !QUOTE.test(other));
      const inner = lines.slice(at, end).map((other) => other.replace(QUOTE, ''));
      found.push({ type: 'quote', children: blocks(inner, depth + 1) });
      at = end;
      continue;
    }
    if (ITEM.test(line) && depth < DEEPEST) {
      const [list, end] = listAt(lines, at, depth);
      found.push(list);
      at = end;
      continue;
    }
    if (line.includes('|') && DIVIDER.test(lines[at + 1] ?? '') && (lines[at + 1] ?? '').includes('-')) {
      const end = until(lines, at + 2, (other) => other.trim() === '' || !other.includes('|'));
      const rows = lines.slice(at + 2, end).map(cells);
      found.push({ type: 'table', head: cells(line), rows });
      at = end;
      continue;
    }
    const end = until(lines, at + 1, startsBlock);
    const parts = lines.slice(at, end).map((part) => part.trimStart());
    found.push({ type: 'paragraph', children: inlines(parts.join('\n')) });
    at = end;
  }
  return found;
}

function startsBlock(line: string): boolean {
  return [FENCE, HEADING, RULE, QUOTE, ITEM].some((form) => form.test(line)) || line.trim() === '';
}

function until(lines: string[], from: number, stop: (line: string) => boolean): number {
  let end = from;
  while (end < lines.length && !stop(lines[end] as string)) end += 1;
  return end;
}

function listAt(lines: string[], from: number, depth: number): [Block, number] {
  const ordered = /\d/.test(ITEM.exec(lines[from] as string)?.[2] ?? '');
  const items: Block[][] = [];
  let at = from;
  while (at < lines.length) {
    const match = ITEM.exec(lines[at] as string);
    if (match === null || /\d/.test(match[2] as string) !== ordered) break;
    const indent = match[0].length;
    const inner = [(lines[at] as string).slice(indent)];
    at += 1;
    while (at < lines.length) {
      const line = lines[at] as string;
      const deeper = line.search(/\S/) >= Math.min(indent, 2);
      if (line.trim() === '' ? !/^\s{2,}\S/.test(lines[at + 1] ?? '') : !deeper && startsBlock(line)) break;
      inner.push(line.replace(new RegExp(`^\\s{0,${indent}}`), ''));
      at += 1;
    }
    items.push(blocks(inner, depth + 1));
    const next = until(lines, at, (line) => line.trim() !== '');
    if (ITEM.test(lines[next] ?? '')) at = next;
  }
  return [{ type: 'list', ordered, items }, at];
}

function cells(line: string): Inline[][] {
  const inner = line
    .trim()
    .replace(/^\|/, '')
    .replace(/(?<!\\)\|$/, '');
  return inner.split(/(?<!\\)\|/).map((cell) => inlines(cell.trim().replaceAll('\\|', '|')));
}

const INLINE = new RegExp(
  [
    '(?<escape>\\\\[!-/:-@[-`{-~])',
    '(?<ticks>`+)(?<code>[^`]|[^`][\\s\\S]*?[^`])\\k<ticks>(?!`)',
    '!\\[(?<image>[^\\]]*)\\]\\([^)\\s]*\\)',
    '\\[(?<label>[^\\]]+)\\]\\((?<target>[^)\\s]+)(?:\\s+"[^"]*")?\\)',
    '<(?<bare>https?://[^>\\s]+)>',
    '\\*\\*(?<strong>\\S|\\S[\\s\\S]*?\\S)\\*\\*',
    '(?<!\\w)\\*(?<star>[^\\s*]|[^\\s*][^*]*[^\\s*])\\*',
    '(?<!\\w)_(?<low>[^\\s_]|[^\\s_][^_]*[^\\s_])_(?!\\w)',
    '(?<break> {2,}\\n|\\\\\\n)',
  ].join('|'),
  'g',
);

/** Emphasis, code, links and breaks of one run of text. */
export function inlines(text: string, depth = 0): Inline[] {
  const found: Inline[] = [];
  let from = 0;
  const plain = (part: string) => {
    if (part !== '') found.push({ type: 'text', text: part.replace(/\s*\n/g, ' ') });
  };
  if (depth > DEEPEST) return [{ type: 'text', text }];
  for (const match of text.matchAll(INLINE)) {
    const part = match.groups ?? {};
    plain(text.slice(from, match.index));
    from = match.index + match[0].length;
    const emphasis = part.star ?? part.low;
    if (part.escape !== undefined) found.push({ type: 'text', text: part.escape.slice(1) });
    else if (part.code !== undefined) found.push({ type: 'code', text: part.code.trim() });
    else if (part.image !== undefined) plain(part.image);
    else if (part.bare !== undefined) found.push(link(part.bare, [{ type: 'text', text: part.bare }]));
    else if (part.label !== undefined) found.push(link(part.target ?? '', inlines(part.label, depth + 1)));
    else if (part.strong !== undefined) {
      found.push({
        type: 'strong',
        children: inlines(part.strong, depth + 1),
      });
    } else if (emphasis !== undefined)
      found.push({ type: 'emphasis', children: inlines(emphasis, depth + 1) });
    else found.push({ type: 'break' });
  }
  plain(text.slice(from));
  return found;
}

function link(address: string, children: Inline[]): Inline {
  // Control characters and spaces are dropped first: browsers ignore them inside a scheme.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const clean = address.replace(/[\u0000-\u0020\u007f-\u009f]/g, '');
  if (/^(https?:\/\/|mailto:)/i.test(clean)) return { type: 'link', address: clean, children };
  return { type: 'strong', children };
}
