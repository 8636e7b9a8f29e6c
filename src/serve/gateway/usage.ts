/**
 * Reads from an answer on its way what it has used, as OpenAI's `usage` tells: of a whole answer at its end, of a stream from
 * its events. What was asked for on behalf of the gateway alone is taken out. Knows no keys and no prices.
 */
import type { Use } from '../../operate/quota/prices.ts';

/** Bytes of a whole answer, and of one event, beyond which nothing is read. */
const LARGEST = 8 * 2 ** 20;

const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;

/** @param body an answer or one event of a stream; undefined where it says nothing that can be believed */
export function usageIn(body: unknown): Use | undefined {
  const { usage, response } = (body ?? {}) as { usage?: unknown; response?: { usage?: unknown } | null };
  const given = (usage ?? response?.usage ?? {}) as Record<string, unknown>;
  if (typeof given !== 'object') return undefined;
  const prompt = count(given.prompt_tokens) ?? count(given.input_tokens);
  if (prompt === undefined) return undefined;
  return { prompt, completion: count(given.completion_tokens) ?? count(given.output_tokens) ?? 0 };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

export interface UsageReader {
  readonly used: Use | undefined;
  /** Events that brought something, where it is a stream. */
  readonly pieces: number;
  /** @returns what goes on to the client */
  take(piece: Buffer): Buffer;
  /** @returns what is left to go on */
  end(): Buffer;
}

const NOTHING: Buffer = Buffer.alloc(0);

/** Of an answer in one piece. */
export class WholeReader implements UsageReader {
  used: Use | undefined;
  readonly pieces = 0;
  private kept: Buffer[] = [];
  private size = 0;

  take(piece: Buffer): Buffer {
    this.size += piece.length;
    if (this.size <= LARGEST) this.kept.push(piece);
    else this.kept = [];
    return piece;
  }

  end(): Buffer {
    if (this.size <= LARGEST) this.used = usageIn(parsed(Buffer.concat(this.kept).toString('utf8')));
    this.kept = [];
    return NOTHING;
  }
}

/** Of server-sent events. An event goes on when it is whole. */
export class EventReader implements UsageReader {
  used: Use | undefined;
  pieces = 0;
  private rest = NOTHING;
  private readonly hide: boolean;

  /** @param hide takes out the event that tells of nothing but usage: the client did not ask for it */
  constructor(hide: boolean) {
    this.hide = hide;
  }

  take(piece: Buffer): Buffer {
    const all = this.rest.length === 0 ? piece : Buffer.concat([this.rest, piece]);
    const kept: Buffer[] = [];
    let at = 0;
    for (let end = endOfEvent(all, at); end > 0; end = endOfEvent(all, at)) {
      const event = all.subarray(at, end);
      if (this.passes(event)) kept.push(event);
      at = end;
    }
    this.rest = all.subarray(at);
    if (this.rest.length > LARGEST) kept.push(this.end());
    return kept.length === 1 ? (kept[0] as Buffer) : Buffer.concat(kept);
  }

  end(): Buffer {
    const { rest } = this;
    this.rest = NOTHING;
    return rest.length > 0 && this.passes(rest) ? rest : NOTHING;
  }

  private passes(event: Buffer): boolean {
    if (event.includes('"delta"') || event.includes('"text"')) this.pieces++;
    if (!event.includes('"usage"')) return true;
    const data = event
      .toString('utf8')
      .split(/\r\n|\n|\r/)
      .filter((line) => line.startsWith('data:'))
      .map((line) => line.slice(5).trimStart())
      .join('\n');
    const body = parsed(data) as { choices?: unknown } | undefined;
    const used = usageIn(body);
    if (used === undefined) return true;
    this.used = used;
    const alone = Array.isArray(body?.choices) && body.choices.length === 0;
    return !(this.hide && alone);
  }
}

/** Behind the empty line that ends an event; 0 where none does yet. */
function endOfEvent(bytes: Buffer, from: number): number {
  const [lines, windows] = [bytes.indexOf('\n\n', from), bytes.indexOf('\r\n\r\n', from)];
  if (windows >= 0 && (lines < 0 || windows < lines)) return windows + 4;
  return lines < 0 ? 0 : lines + 2;
}
