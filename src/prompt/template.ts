/**
 * Templates with named places: `{{name}}`, `{{record.field}}`, sections `{{#name}}…{{/name}}` (for each item of a list,
 * or where something is), `{{^name}}…{{/name}}` (where nothing is), `{{! notes}}`; `\{{` is a plain brace pair. A value is
 * put in as it is: what it contains is never read as a template. Knows syntax, no types.
 */
import { InkstoneError } from '../base/errors.ts';

export type Node =
  | { kind: 'text'; text: string }
  | { kind: 'value'; name: string; place: string }
  | { kind: 'section'; name: string; inverted: boolean; body: Node[]; place: string };

const NAME = /^(\.|[\p{L}_][\p{L}\p{N}_-]*(\.[\p{L}_][\p{L}\p{N}_-]*)*)$/u;

function invalid(message: string, place: string): InkstoneError {
  return new InkstoneError('template_invalid', `${message} (${place})`, {
    kind: 'usage',
    hint: 'a place is {{name}}, a section {{#name}}…{{/name}}; a plain brace pair is \\{{',
    details: { place },
  });
}

/** `line 2, column 5` */
function placeOf(source: string, at: number): string {
  const before = source.slice(0, at).split('\n');
  return `line ${before.length}, column ${(before.at(-1) as string).length + 1}`;
}

interface Tag {
  sigil: '' | '#' | '^' | '/' | '!';
  name: string;
  start: number;
  end: number;
  place: string;
}

/** @throws InkstoneError `template_invalid` with line and column */
export function parseTemplate(source: string): Node[] {
  const root: Node[] = [];
  const open: Extract<Node, { kind: 'section' }>[] = [];
  const into = (): Node[] => open.at(-1)?.body ?? root;
  const addText = (text: string): void => {
    const last = into().at(-1);
    if (text === '') return;
    if (last?.kind === 'text') last.text += text;
    else into().push({ kind: 'text', text });
  };
  let at = 0;
  while (at < source.length) {
    const next = source.indexOf('{{', at);
    if (next < 0) break;
    if (source[next - 1] === '\\' && next > at) {
      addText(`${source.slice(at, next - 1)}{{`);
      at = next + 2;
      continue;
    }
    const tag = readTag(source, next);
    const alone = tag.sigil === '' ? undefined : aloneOnLine(source, tag, at);
    addText(source.slice(at, alone?.start ?? tag.start));
    at = alone?.end ?? tag.end;
    if (tag.sigil === '') into().push({ kind: 'value', name: tag.name, place: tag.place });
    else if (tag.sigil === '#' || tag.sigil === '^') {
      const { name, place } = tag;
      const section: Node = { kind: 'section', name, inverted: tag.sigil === '^', body: [], place };
      into().push(section);
      open.push(section);
    } else if (tag.sigil === '/') {
      const begun = open.pop();
      if (begun?.name !== tag.name)
        throw invalid(
          begun === undefined
            ? `{{/${tag.name}}} ends no section`
            : `{{/${tag.name}}} stands where {{/${begun.name}}} is due`,
          tag.place,
        );
    }
  }
  addText(source.slice(at));
  const left = open.at(-1);
  if (left !== undefined) throw invalid(`{{#${left.name}}} has no end`, left.place);
  return root;
}

function readTag(source: string, start: number): Tag {
  const place = placeOf(source, start);
  const close = source.indexOf('}}', start + 2);
  if (close < 0) throw invalid('{{ has no }}', place);
  const inner = source.slice(start + 2, close);
  const found = /^\s*([#^/!]?)/.exec(inner)?.[1] as Tag['sigil'];
  const name = inner.trim().slice(found.length).trim();
  if (found !== '!' && !NAME.test(name)) throw invalid(`"${inner.trim()}" is no name`, place);
  return { sigil: found, name, start, end: close + 2, place };
}

/** The whole line of a tag that has nothing else on it: it leaves no empty line behind. */
function aloneOnLine(source: string, tag: Tag, from: number): { start: number; end: number } | undefined {
  const start = source.lastIndexOf('\n', tag.start - 1) + 1;
  const newline = source.indexOf('\n', tag.end);
  const end = newline < 0 ? source.length : newline + 1;
  if (start < from || source.slice(start, tag.start).trim() !== '') return undefined;
  return source.slice(tag.end, end).trim() === '' ? { start, end } : undefined;
}

/** A value by its name in the innermost scope that has it. */
type Scope = readonly unknown[];

const own = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;

function lookUp(scope: Scope, name: string): unknown {
  if (name === '.') return scope.at(-1);
  const [first, ...rest] = name.split('.') as [string, ...string[]];
  for (let depth = scope.length - 1; depth >= 0; depth--) {
    const value = own(scope[depth], first);
    if (value !== undefined) return rest.reduce(own, value);
  }
  return undefined;
}

/** How a value stands in a text: a list with commas, nothing as nothing. */
export function textOfValue(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (Array.isArray(value)) return value.map(textOfValue).join(', ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

const isNothing = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  value === '' ||
  (Array.isArray(value) && value.length === 0);

function renderIn(nodes: readonly Node[], scope: Scope): string {
  return nodes
    .map((node) => {
      if (node.kind === 'text') return node.text;
      const value = lookUp(scope, node.name);
      if (node.kind === 'value') return textOfValue(value);
      if (node.inverted) return isNothing(value) ? renderIn(node.body, scope) : '';
      if (isNothing(value)) return '';
      const items = Array.isArray(value) ? value : [value];
      return items.map((item) => renderIn(node.body, item === true ? scope : [...scope, item])).join('');
    })
    .join('');
}

/** The text; values must have been checked. */
export function renderTemplate(nodes: readonly Node[], values: Readonly<Record<string, unknown>>): string {
  return renderIn(nodes, [values]);
}
