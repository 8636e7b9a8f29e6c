/** API keys: made once, shown once, kept as hashes. While there is none, the server is open on loopback. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Row, Store } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import { now } from '../base/host.ts';

export interface KeyRow extends Row {
  name: string;
  /** SHA-256, hexadecimal. Keys are 256 random bits, so a slow hash would add nothing. */
  hash: string;
  /** The first characters, to tell keys apart. */
  prefix: string;
  created: number;
}

const hashOf = (key: string): string => createHash('sha256').update(key).digest('hex');

export class Keys {
  private readonly store: Store;
  private known: KeyRow[] | undefined;
  private read = 0;

  constructor(store: Store) {
    this.store = store;
  }

  /** Rows are read again now and then: the command line may have changed them. */
  private async rows(): Promise<KeyRow[]> {
    if (this.known === undefined || now() - this.read > 1000) {
      this.known = await this.store.rows.list<KeyRow>('keys');
      this.read = now();
    }
    return this.known;
  }

  async create(name: string): Promise<{ key: string; row: KeyRow }> {
    const key = `ink-${randomBytes(32).toString('base64url')}`;
    const row: KeyRow = {
      id: randomBytes(6).toString('hex'),
      name,
      hash: hashOf(key),
      prefix: key.slice(0, 10),
      created: Math.floor(now() / 1000),
    };
    await this.store.rows.put('keys', row);
    this.known = undefined;
    return { key, row };
  }

  list(): Promise<KeyRow[]> {
    return this.store.rows.list<KeyRow>('keys');
  }

  /** By id or prefix. @throws InkstoneError `key_missing` */
  async revoke(idOrPrefix: string): Promise<KeyRow> {
    const row = (await this.list()).find(
      (r) => r.id === idOrPrefix || r.prefix === idOrPrefix || r.name === idOrPrefix,
    );
    if (row === undefined)
      throw new InkstoneError('key_missing', `there is no key ${idOrPrefix}`, {
        kind: 'missing',
        hint: '`inkstone keys list` shows them',
      });
    await this.store.rows.remove('keys', row.id);
    this.known = undefined;
    return row;
  }

  async any(): Promise<boolean> {
    return (await this.rows()).length > 0;
  }

  /** The key's row; undefined while the server is open. @throws InkstoneError `invalid_api_key` */
  async check(authorization: string | undefined): Promise<KeyRow | undefined> {
    const rows = await this.rows();
    if (rows.length === 0) return undefined;
    const key = /^Bearer\s+(.+)$/i.exec(authorization ?? '')?.[1]?.trim();
    if (key === undefined)
      throw new InkstoneError('invalid_api_key', 'an API key is needed', {
        kind: 'denied',
        hint: 'send it as "Authorization: Bearer ink-…"',
      });
    const given = Buffer.from(hashOf(key), 'hex');
    const found = rows.find((row) => timingSafeEqual(given, Buffer.from(row.hash, 'hex')));
    if (found === undefined)
      throw new InkstoneError('invalid_api_key', 'this API key is not known', {
        kind: 'denied',
        hint: 'make one with `inkstone keys create NAME`',
      });
    return found;
  }
}
