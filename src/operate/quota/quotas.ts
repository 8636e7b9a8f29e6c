/**
 * Who may use how much: requests and tokens a minute, requests at once, a budget. Everything is taken before any work is done
 * and in one go, and what was not used is given back at the end. Knows keys by id, no HTTP.
 */
import { InkstoneError } from '../../base/errors.ts';
import { Bucket } from './bucket.ts';
import type { Ledger, Period } from './ledger.ts';
import type { Prices, Use } from './prices.ts';

export interface KeyLimits {
  requestsPerMinute?: number | undefined;
  tokensPerMinute?: number | undefined;
  /** Requests at once. */
  concurrency?: number | undefined;
  /** In the price list's unit. */
  budget?: number | undefined;
  /** What the budget is for; default `total`. */
  period?: Period | undefined;
}

interface State {
  requests: Bucket | undefined;
  tokens: Bucket | undefined;
  running: number;
}

/** What is left of a limit. */
export interface Allowance {
  limit: number;
  remaining: number;
  /** Milliseconds until all is there again. */
  reset: number;
}

export interface Allowances {
  requests?: Allowance;
  tokens?: Allowance;
}

const tokensOf = ({ prompt, completion }: Use): number => prompt + completion;

/** Part of a key's limits that its batches do not touch. */
const LEFT_BY_BATCHES = 0.25;

/** Milliseconds; what is to be left over gives way where the bucket could never hold both. */
function waitFor(bucket: Bucket | undefined, units: number, free: number, at: number): number {
  if (bucket === undefined) return 0;
  const { limit } = bucket;
  return bucket.wait(units > limit ? units : Math.min(limit, units + free * limit), at);
}

function refusal(code: string, what: string, wait: number): InkstoneError {
  const never = !Number.isFinite(wait);
  const seconds = Math.max(0.001, wait / 1000);
  return new InkstoneError(code, what, {
    kind: 'limit',
    hint: never ? 'send less at once' : `send the request again in ${Math.ceil(seconds)} s`,
    details: never ? { retry: false } : { retryAfter: seconds },
  });
}

/** What one request has taken. */
export class Lease {
  private readonly quotas: Quotas;
  private readonly key: string;
  private readonly limits: KeyLimits;
  /** What it is priced by. */
  model: string;
  private taken: Use;
  private reservation: string | undefined;
  private closed = false;

  constructor(
    quotas: Quotas,
    key: string,
    limits: KeyLimits,
    model: string,
    taken: Use,
    reservation: string | undefined,
  ) {
    this.quotas = quotas;
    this.key = key;
    this.limits = limits;
    this.model = model;
    this.taken = taken;
    this.reservation = reservation;
  }

  /** Takes what is now known to be needed at most in place of the estimate. @throws InkstoneError `tokens_limited`, `insufficient_quota` */
  async cover(need: Use): Promise<void> {
    const { tokens } = this.quotas.state(this.key, this.limits);
    const more = tokensOf(need) - tokensOf(this.taken);
    const at = this.quotas.clock();
    if (more > 0 && tokens !== undefined && !tokens.take(more, at))
      throw refusal('tokens_limited', 'this key’s tokens for the minute are used up', tokens.wait(more, at));
    if (more < 0) tokens?.force(more, at);
    this.taken = need;
    const { budget, period = 'total' } = this.limits;
    if (budget === undefined || this.reservation === undefined) return;
    const cost = this.quotas.prices.cost(this.model, need);
    await this.quotas.ledger.reserve(this.key, { budget, period, cost, lease: this.reservation });
  }

  /** Books what was used; safe to call twice, and not to wait for. */
  settle(used: Use): Promise<void> {
    if (this.closed) return Promise.resolve();
    this.closed = true;
    const state = this.quotas.state(this.key, this.limits);
    state.running--;
    state.tokens?.force(tokensOf(used) - tokensOf(this.taken), this.quotas.clock());
    const cost = this.quotas.prices.cost(this.model, used);
    const { prompt, completion } = used;
    const { period = 'total' } = this.limits;
    return this.quotas.ledger.settle(
      this.key,
      { cost, prompt, completion },
      { lease: this.reservation, period },
    );
  }
}

export interface QuotasOptions {
  ledger: Ledger;
  prices: Prices;
  /** Milliseconds that only grow. */
  clock: () => number;
}

export class Quotas {
  readonly ledger: Ledger;
  readonly prices: Prices;
  readonly clock: () => number;
  private readonly states = new Map<string, State>();

  constructor({ ledger, prices, clock }: QuotasOptions) {
    this.ledger = ledger;
    this.prices = prices;
    this.clock = clock;
  }

  /** Limits that were changed begin with a full minute. */
  state(key: string, { requestsPerMinute, tokensPerMinute }: KeyLimits): State {
    const state = this.states.get(key) ?? { requests: undefined, tokens: undefined, running: 0 };
    const at = this.clock();
    if (state.requests?.limit !== requestsPerMinute)
      state.requests = requestsPerMinute === undefined ? undefined : new Bucket(requestsPerMinute, at);
    if (state.tokens?.limit !== tokensPerMinute)
      state.tokens = tokensPerMinute === undefined ? undefined : new Bucket(tokensPerMinute, at);
    this.states.set(key, state);
    return state;
  }

  /**
   * All or nothing, and before anything else waits: of requests that come at once none sees what another has taken as free.
   * @param estimate what it will take at most, as far as is known
   * @param options.batch leaves part of each limit but the budget to requests that somebody waits for
   * @throws InkstoneError `requests_limited`, `tokens_limited`, `concurrency_limited`, `insufficient_quota`
   */
  async admit(
    key: string,
    limits: KeyLimits,
    model: string,
    estimate: Use,
    { batch = false }: { batch?: boolean } = {},
  ): Promise<Lease> {
    const state = this.state(key, limits);
    const at = this.clock();
    const need = tokensOf(estimate);
    const { concurrency, budget, period = 'total' } = limits;
    const free = batch ? LEFT_BY_BATCHES : 0;
    if (
      concurrency !== undefined &&
      state.running >= Math.max(1, concurrency - Math.ceil(free * concurrency))
    )
      throw refusal('concurrency_limited', `this key may have ${concurrency} requests at once`, 1000);
    const waitTokens = waitFor(state.tokens, need, free, at);
    if (waitTokens > 1e-6)
      throw refusal('tokens_limited', 'this key’s tokens for the minute are used up', waitTokens);
    const waitRequests = waitFor(state.requests, 1, free, at);
    if (waitRequests > 1e-6)
      throw refusal('requests_limited', 'this key’s requests for the minute are used up', waitRequests);
    state.requests?.take(1, at);
    state.tokens?.take(need, at);
    state.running++;
    try {
      const cost = this.prices.cost(model, estimate);
      const reservation =
        budget === undefined ? undefined : await this.ledger.reserve(key, { budget, period, cost });
      return new Lease(this, key, limits, model, estimate, reservation);
    } catch (thrown) {
      state.running--;
      state.tokens?.force(-need, this.clock());
      throw thrown;
    }
  }

  allowances(key: string, limits: KeyLimits): Allowances {
    const { requests, tokens } = this.state(key, limits);
    const at = this.clock();
    const of = (bucket: Bucket): Allowance => ({
      ...{ limit: bucket.limit, remaining: bucket.remaining(at), reset: bucket.reset(at) },
    });
    return {
      ...(requests === undefined ? {} : { requests: of(requests) }),
      ...(tokens === undefined ? {} : { tokens: of(tokens) }),
    };
  }
}
