/**
 * Tool calls in a model's text as it comes, in the form that Hermes and Qwen models are tuned to:
 * `<tool_call>{"name": …, "arguments": …}</tool_call>`. What is no call stays text. Knows no wire.
 */

export type TextPart =
  | { type: 'text'; text: string }
  /** A call begins; its arguments follow in pieces. */
  | { type: 'call'; name: string }
  | { type: 'arguments'; text: string };

export const CALL_OPEN = '<tool_call>';
export const CALL_CLOSE = '</tool_call>';

export interface ToolParserOptions {
  /** Names that may be called. */
  names: ReadonlySet<string>;
  /** The text is one call, without marks around it. */
  forced: boolean;
  /** More than one call is wanted. */
  parallel: boolean;
}

/** A call up to its arguments, as every model writes it. */
const HEAD = /^\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\S)/;

export class ToolCallParser {
  /** Calls so far. */
  calls = 0;
  private readonly options: ToolParserOptions;
  private state: 'text' | 'head' | 'object' | 'scalar' | 'behind' = 'text';
  private buffer = '';
  /** Nothing but spaces since the last call; they belong to nobody. */
  private fresh = false;
  /** Spaces in front of a mark, which count where it begins no call. */
  private space = '';
  private depth = 0;
  private quoted = false;
  private escaped = false;

  constructor(options: ToolParserOptions) {
    this.options = options;
    if (options.forced) this.state = 'head';
  }

  push(piece: string): TextPart[] {
    this.buffer += piece;
    const parts: TextPart[] = [];
    while (this.advance(parts));
    return parts;
  }

  /** What was held back. A call that was cut before its name was known is nothing. */
  end(cut: boolean): TextPart[] {
    const parts: TextPart[] = [];
    const rest = this.buffer;
    this.buffer = '';
    if (this.state === 'text') this.say(parts, this.fresh ? rest.trimStart() : rest);
    else if (this.state === 'head' && !cut) this.whole(parts, rest, '');
    return parts;
  }

  private say(parts: TextPart[], text: string): void {
    if (text === '') return;
    this.fresh = false;
    parts.push({ type: 'text', text });
  }

  /** One step; false where more text is needed. */
  private advance(parts: TextPart[]): boolean {
    switch (this.state) {
      case 'text':
        return this.inText(parts);
      case 'head':
        return this.inHead(parts);
      case 'object':
        return this.inObject(parts);
      case 'scalar':
        return this.inScalar(parts);
      case 'behind':
        return this.behind();
    }
  }

  private inText(parts: TextPart[]): boolean {
    if (this.fresh) this.buffer = this.buffer.trimStart();
    const at = this.buffer.indexOf(CALL_OPEN);
    if (at < 0) {
      const safe = this.buffer.length - heldBack(this.buffer);
      this.say(parts, this.buffer.slice(0, safe));
      this.buffer = this.buffer.slice(safe);
      return false;
    }
    const before = this.buffer.slice(0, at);
    const said = before.trimEnd();
    this.space = before.slice(said.length);
    this.say(parts, said);
    this.buffer = this.buffer.slice(at + CALL_OPEN.length);
    this.state = 'head';
    return true;
  }

  private inHead(parts: TextPart[]): boolean {
    const head = HEAD.exec(this.buffer);
    if (head !== null) {
      const name = nameOf(head[1] as string);
      if (name === undefined || !this.options.names.has(name)) {
        // Nobody offered this; the words stay what they are.
        this.say(parts, this.options.forced ? '' : `${this.space}${CALL_OPEN}`);
        this.state = 'text';
        return true;
      }
      this.begin(parts, name);
      this.buffer = this.buffer.slice(head[0].length);
      this.state = this.buffer.startsWith('{') ? 'object' : 'scalar';
      return true;
    }
    const at = this.buffer.indexOf(CALL_CLOSE);
    if (at < 0) return false;
    const inner = this.buffer.slice(0, at);
    this.buffer = this.buffer.slice(at + CALL_CLOSE.length);
    this.state = 'text';
    this.whole(parts, inner, CALL_CLOSE);
    return true;
  }

  /** A call that is there as a whole, its keys in whatever order. */
  private whole(parts: TextPart[], inner: string, close: string): void {
    const call = callOf(inner);
    if (call === undefined || !this.options.names.has(call.name)) {
      this.say(parts, this.options.forced ? inner : `${this.space}${CALL_OPEN}${inner}${close}`);
      return;
    }
    this.begin(parts, call.name);
    this.argue(parts, call.arguments);
  }

  private begin(parts: TextPart[], name: string): void {
    this.calls++;
    this.fresh = true;
    if (this.wanted()) parts.push({ type: 'call', name });
  }

  private argue(parts: TextPart[], text: string): void {
    if (text !== '' && this.wanted()) parts.push({ type: 'arguments', text });
  }

  private wanted(): boolean {
    return this.options.parallel || this.calls === 1;
  }

  /** Pieces of an object up to its closing brace, as they are. */
  private inObject(parts: TextPart[]): boolean {
    for (let at = 0; at < this.buffer.length; at++) {
      const character = this.buffer[at];
      if (this.escaped) this.escaped = false;
      else if (this.quoted) {
        if (character === '\\') this.escaped = true;
        else if (character === '"') this.quoted = false;
      } else if (character === '"') this.quoted = true;
      else if (character === '{' || character === '[') this.depth++;
      else if (character === '}' || character === ']') {
        this.depth--;
        if (this.depth > 0) continue;
        this.argue(parts, this.buffer.slice(0, at + 1));
        this.buffer = this.buffer.slice(at + 1);
        this.state = 'behind';
        return true;
      }
    }
    this.argue(parts, this.buffer);
    this.buffer = '';
    return false;
  }

  /** Some models write the arguments as a string that holds JSON, or nothing at all. */
  private inScalar(parts: TextPart[]): boolean {
    const text = /^"(?:[^"\\]|\\.)*"/s.exec(this.buffer)?.[0];
    const other = this.buffer.startsWith('"') ? undefined : /^[^\s,}<]*(?=[\s,}<])/.exec(this.buffer)?.[0];
    const found = text ?? other;
    if (found === undefined) return false;
    this.argue(parts, argumentsOf(jsonOf(found)) ?? found);
    this.buffer = this.buffer.slice(found.length);
    this.state = 'behind';
    return true;
  }

  private behind(): boolean {
    if (this.options.forced) {
      this.buffer = '';
      return false;
    }
    const close = this.buffer.indexOf(CALL_CLOSE);
    const open = this.buffer.indexOf(CALL_OPEN);
    if (close < 0 && open < 0) return false;
    // The mark at the end may have been forgotten.
    const forgotten = open >= 0 && (close < 0 || open < close);
    this.buffer = this.buffer.slice(forgotten ? open : close + CALL_CLOSE.length);
    this.state = 'text';
    return true;
  }
}

/** Length of an end that may belong to a call's beginning: spaces, and what begins its mark. */
function heldBack(text: string): number {
  for (let n = Math.min(CALL_OPEN.length - 1, text.length); n >= 0; n--) {
    if (n > 0 && !text.endsWith(CALL_OPEN.slice(0, n))) continue;
    return text.length - text.slice(0, text.length - n).trimEnd().length;
  }
  return 0;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function nameOf(quoted: string): string | undefined {
  const name = jsonOf(quoted);
  return typeof name === 'string' ? name : undefined;
}

/** As JSON text; undefined where there is no telling. */
function argumentsOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value.trim() === '' ? '{}' : value;
  if (value === null) return '{}';
  return value === undefined ? undefined : JSON.stringify(value);
}

function callOf(text: string): { name: string; arguments: string } | undefined {
  const read = jsonOf(text.trim());
  if (typeof read !== 'object' || read === null || Array.isArray(read)) return undefined;
  const { name, arguments: given, parameters } = read as Record<string, unknown>;
  if (typeof name !== 'string') return undefined;
  return { name, arguments: argumentsOf(given ?? parameters ?? null) ?? '{}' };
}
