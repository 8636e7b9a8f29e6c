/**
 * API keys: made once, shown once, kept as hashes; scoped, expiring, limited, rotated. While there is none, the server is open
 * on loopback. Knows no routes.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Row, Store } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import { monotonic, now } from '../base/host.ts';
import type { KeyLimits } from '../operate/quota/quotas.ts';

/** What a key may do: make content, keep files, train and change models, read metrics, ask for others, and look after everything. */
export const SCOPES = ['generate', 'files', 'train', 'metrics', 'gateway', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];
/** Those that reach beyond a key's own things. */
export const OVER_OTHERS: readonly Scope[] = ['gateway', 'admin'];

export interface KeyRow extends Row {
  name: string;
  /** SHA-256, hexadecimal. Keys are 256 random bits, so a slow hash would add nothing. */
  hash: string;
  /** The first characters, to tell keys apart. */
  prefix: string;
  created: number;
  /** Left out: all of them. */
  scopes?: readonly Scope[];
  /** Seconds since 1970. */
  expires?: number;
  /** Models that it may use; `name*` for all that begin so. Left out: all. */
  models?: readonly string[];
  limits?: KeyLimits;
  /** The key before a rotation, for as long as it still works. */
  previous?: { hash: string; prefix: string; until: number };
}

export type KeySettings = Pick<KeyRow, 'scopes' | 'expires' | 'models' | 'limits'>;

const hashOf = (key: string): string => createHash('sha256').update(key).digest('hex');
const seconds = (): number => Math.floor(now() / 1000);
/** `ink-` and six characters; what is behind them is compared in constant time. */
const PREFIX = 10;

function newKey(): { key: string; hash: string; prefix: string } {
  const key = `ink-${randomBytes(32).toString('base64url')}`;
  return { key, hash: hashOf(key), prefix: key.slice(0, PREFIX) };
}

/** What is not set is left out of the row. */
function defined(settings: { [Name in keyof KeySettings]: KeySettings[Name] | undefined }): KeySettings {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

export function maySee(key: KeyRow | undefined, scope: Scope): boolean {
  return key?.scopes === undefined || key.scopes.includes('admin') || key.scopes.includes(scope);
}

export function mayUseModel({ models }: Pick<KeyRow, 'models'>, model: string): boolean {
  return (
    models === undefined ||
    models.some((one) => one === model || (one.endsWith('*') && model.startsWith(one.slice(0, -1))))
  );
}

/** Milliseconds after which rows are read again beside the requests, and after which they are believed no more. */
const AGAIN = 500;
const BELIEVED = 1000;

export class Keys {
  private readonly store: Store;
  private readonly clock: () => number;
  private known: { rows: KeyRow[]; at: number } | undefined;
  private reading: Promise<KeyRow[]> | undefined;

  /** @param clock milliseconds that only grow */
  constructor(store: Store, clock: () => number = monotonic) {
    this.store = store;
    this.clock = clock;
  }

  /**
   * Rows are read again now and then: the command line may have changed them. Whoever asks while they are read waits only
   * where those that are known are too old: with disks and processors busy a read takes longer than a refusal may.
   */
  private async rows(): Promise<KeyRow[]> {
    const age = this.known === undefined ? Number.POSITIVE_INFINITY : this.clock() - this.known.at;
    if (age > AGAIN) this.reading ??= this.readAgain();
    if (this.known !== undefined && age <= BELIEVED) return this.known.rows;
    return this.reading as Promise<KeyRow[]>;
  }

  private readAgain(): Promise<KeyRow[]> {
    const at = this.clock();
    const reading = this.store.rows.list<KeyRow>('keys').then(
      (rows) => {
        // One that began before a change of ours says nothing of it.
        if (this.reading === reading) {
          this.known = { rows, at };
          this.reading = undefined;
        }
        return rows;
      },
      (thrown: unknown) => {
        if (this.reading === reading) this.reading = undefined;
        throw thrown;
      },
    );
    // Told to those who wait for it, if any do.
    reading.catch(() => undefined);
    return reading;
  }

  private forget(): void {
    this.known = undefined;
    this.reading = undefined;
  }

  /** The first key may do everything, unless it is told otherwise; those after it everything but look after others or ask for them. */
  async create(name: string, settings: KeySettings = {}): Promise<{ key: string; row: KeyRow }> {
    const first = (await this.list()).length === 0;
    const scopes =
      settings.scopes ?? (first ? undefined : SCOPES.filter((scope) => !OVER_OTHERS.includes(scope)));
    const { key, hash, prefix } = newKey();
    const row: KeyRow = {
      ...{ id: randomBytes(6).toString('hex'), name, hash, prefix, created: seconds() },
      ...defined({ ...settings, scopes }),
    };
    await this.store.rows.put('keys', row);
    this.forget();
    return { key, row };
  }

  list(): Promise<KeyRow[]> {
    return this.store.rows.list<KeyRow>('keys');
  }

  async find(id: string): Promise<KeyRow | undefined> {
    return (await this.rows()).find((row) => row.id === id);
  }

  /** By id, prefix or name. @throws InkstoneError `key_missing` */
  private async named(given: string): Promise<KeyRow> {
    const row = (await this.list()).find((r) => r.id === given || r.prefix === given || r.name === given);
    if (row !== undefined) return row;
    throw new InkstoneError('key_missing', `there is no key ${given}`, {
      kind: 'missing',
      hint: '`inkstone keys list` shows them',
    });
  }

  async revoke(idOrPrefix: string): Promise<KeyRow> {
    const row = await this.named(idOrPrefix);
    await this.store.rows.remove('keys', row.id);
    this.forget();
    return row;
  }

  /** A new key in the place of an old one, with the same id, scopes and limits. @param grace seconds that the old one still works */
  async rotate(idOrPrefix: string, grace = 0): Promise<{ key: string; row: KeyRow }> {
    const { previous: _, ...old } = await this.named(idOrPrefix);
    const { key, hash, prefix } = newKey();
    const until = seconds() + grace;
    const row: KeyRow = {
      ...{ ...old, hash, prefix },
      ...(grace > 0 ? { previous: { hash: old.hash, prefix: old.prefix, until } } : {}),
    };
    await this.store.rows.put('keys', row);
    this.forget();
    return { key, row };
  }

  async any(): Promise<boolean> {
    return (await this.rows()).length > 0;
  }

  /** The key's row; undefined while the server is open. @throws InkstoneError `invalid_api_key`, `key_expired` */
  async check(authorization: string | undefined): Promise<KeyRow | undefined> {
    const rows = await this.rows();
    if (rows.length === 0) return undefined;
    const key = /^Bearer\s+(\S+)$/i.exec((authorization ?? '').slice(0, 500).trim())?.[1];
    if (key === undefined)
      throw new InkstoneError('invalid_api_key', 'an API key is needed', {
        kind: 'denied',
        hint: 'send it as "Authorization: Bearer ink-…"',
      });
    return this.match(key, rows);
  }

  /** @throws InkstoneError `invalid_api_key`, `key_expired` */
  async match(key: string, given?: readonly KeyRow[]): Promise<KeyRow> {
    const rows = given ?? (await this.rows());
    const hash = Buffer.from(hashOf(key), 'hex');
    const at = seconds();
    let found: KeyRow | undefined;
    // All are looked at: how long it takes tells nothing of which one it was.
    for (const row of rows) {
      const { previous } = row;
      if (timingSafeEqual(hash, Buffer.from(row.hash, 'hex'))) found = row;
      if (
        previous !== undefined &&
        timingSafeEqual(hash, Buffer.from(previous.hash, 'hex')) &&
        previous.until > at
      )
        found = row;
    }
    if (found === undefined)
      throw new InkstoneError('invalid_api_key', 'this API key is not known', {
        kind: 'denied',
        hint: 'make one with `inkstone keys create NAME`',
      });
    return valid(found, at);
  }
}

/** @throws InkstoneError `key_expired` */
export function valid(row: KeyRow, at = seconds()): KeyRow {
  if (row.expires === undefined || row.expires > at) return row;
  throw new InkstoneError('key_expired', 'this API key has expired', {
    kind: 'denied',
    hint: 'ask for a new one',
  });
}
