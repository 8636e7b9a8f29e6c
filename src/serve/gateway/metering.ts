/**
 * Limits of keys at the gateway, with the server's own quotas: what a request may take at most is reserved before any server is
 * asked, and what its answer says that it used is booked, whoever answered. Counts no tokens itself: what models' answers have
 * shown so far is the estimate. Knows no servers.
 */
import { InkstoneError } from '../../base/errors.ts';
import { Experience } from '../../operate/quota/experience.ts';
import type { Use } from '../../operate/quota/prices.ts';
import type { Quotas } from '../../operate/quota/quotas.ts';
import { requireModel } from '../access.ts';
import type { KeyRow } from '../keys.ts';
import { answerLimit, estimateOf, limitHeaders, promptBytes, TOKENS_PER_BYTE } from '../limits.ts';
import { OPERATIONS } from '../watching.ts';
import type { RequestFacts } from './request-facts.ts';
import { EventReader, type UsageReader, WholeReader } from './usage.ts';

/** One request that was let in. */
export interface Metered {
  /** What is left of the key's limits. */
  readonly headers: Record<string, string>;
  /** A stream that is told to say what it used. */
  readonly asksUsage: boolean;
  /** @param events whether the answer is a stream of them */
  reader(events: boolean): UsageReader;
  /** What the answer said that it used, once it did. */
  used(): Use | undefined;
  /** Books what was used and gives the rest back; safe to call twice. */
  settle(how: { status: number; complete?: boolean }): void;
}

export interface Asking {
  key: KeyRow;
  method: string;
  /** From `/v1` on, decoded, without a query. */
  route: string;
  facts: RequestFacts;
}

/** Work that is done later and elsewhere: what it spends cannot be seen from here. */
const LATER = /^\/v1\/(batches|fine_tuning\/jobs)$/;
/** Streams that tell what they used where they are asked to. */
const TELL = /^\/v1\/(chat\/)?completions$/;
const STREAM_OPTIONS = 'stream_options';

export class Metering {
  private readonly quotas: Quotas;
  private readonly experience = new Experience();
  private readonly maxTokens: number;

  /** @param maxTokens of an answer where neither the request nor experience says */
  constructor(quotas: Quotas, maxTokens: number) {
    this.quotas = quotas;
    this.maxTokens = maxTokens;
  }

  /**
   * @returns undefined for what spends nothing
   * @throws InkstoneError `model_forbidden`, `route_uncounted`, `requests_limited`, `tokens_limited`, `concurrency_limited`,
   *   `insufficient_quota`
   */
  async admit({ key, method, route, facts }: Asking): Promise<Metered | undefined> {
    const limited = key.limits !== undefined || key.models !== undefined;
    if (method !== 'POST') return undefined;
    if (LATER.test(route)) {
      if (limited) throw uncounted(route);
      return undefined;
    }
    // Whatever names a model makes it work, under whatever address.
    if (OPERATIONS[route] === undefined && facts.model === undefined) return undefined;
    const { model = '', body } = facts;
    requireModel(key, model);
    const limits = key.limits ?? {};
    const tokensPerByte = this.experience.tokensPerByte(model) ?? TOKENS_PER_BYTE;
    const maxTokens = Math.max(this.maxTokens, this.experience.longest(model));
    const bytes = promptBytes(body);
    const estimate = estimateOf(route, body, { maxTokens, tokensPerByte, bytes });
    const lease = await this.quotas.admit(key.id, limits, model, estimate);
    const options = (body?.[STREAM_OPTIONS] ?? {}) as { include_usage?: unknown };
    const asksUsage = body?.stream === true && TELL.test(route) && options.include_usage !== true;
    let reader: UsageReader | undefined;
    const usedIn = ({ status, complete = false }: { status: number; complete?: boolean }): Use => {
      if (status >= 400) return { prompt: 0, completion: 0 };
      const pictures = complete ? (estimate.pictures ?? 0) : 0;
      if (reader?.used !== undefined) return { ...reader.used, pictures };
      // An answer that says nothing is taken to be what it could be; one that was cut short to be what was seen of it.
      return complete ? estimate : { prompt: estimate.prompt, completion: reader?.pieces ?? 0, pictures };
    };
    return {
      headers: limitHeaders(this.quotas.allowances(key.id, limits)),
      asksUsage,
      reader: (events) => {
        reader = events ? new EventReader(asksUsage) : new WholeReader();
        return reader;
      },
      used: () => reader?.used,
      settle: (how) => {
        const used = usedIn(how);
        if (reader?.used !== undefined)
          this.experience.add(model, {
            ...{ bytes, prompt: used.prompt },
            free: answerLimit(body) === undefined ? used.completion : undefined,
          });
        // A store that is full or away: the next booking tries again with its own.
        void lease.settle(used);
      },
    };
  }

  /** What is left, for those that are refused. */
  headers(key: KeyRow): Record<string, string> {
    return key.limits === undefined ? {} : limitHeaders(this.quotas.allowances(key.id, key.limits));
  }

  close(): Promise<void> {
    return this.quotas.ledger.flush();
  }
}

/** The body of a request whose stream shall tell what it used. */
export function withUsage(body: Record<string, unknown>): Record<string, unknown> {
  const given = body[STREAM_OPTIONS];
  const options = typeof given === 'object' && given !== null ? given : {};
  return { ...body, [STREAM_OPTIONS]: { ...options, include_usage: true } };
}

const uncounted = (route: string): InkstoneError =>
  new InkstoneError('route_uncounted', `what ${route} spends cannot be counted by a gateway`, {
    kind: 'denied',
    hint: 'this key has limits; send it to a server, or take a key without',
    details: { httpStatus: 403 },
  });
