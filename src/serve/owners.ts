/** Whose things are: what a key made is there for that key and for those that look after everything. Knows rows, no routes. */
import type { FastifyRequest } from 'fastify';
import type { Row, Store } from '../base/contracts/store.ts';
import { maySee } from './keys.ts';

interface OwnerRow extends Row {
  key: string;
}

const COLLECTION = 'owners';

/** What was made while the server was open, before there were keys, belongs to nobody and is there for all. */
export function isOwn(request: FastifyRequest, owner: string | undefined): boolean {
  return (
    owner === undefined ||
    owner === request.keyId ||
    (request.key !== undefined && maySee(request.key, 'admin'))
  );
}

/** Owners of rows that cannot carry one themselves. */
export class Owners {
  private readonly store: Store;

  constructor(store: Store) {
    this.store = store;
  }

  async set(id: string, key: string | undefined): Promise<void> {
    if (key !== undefined) await this.store.rows.put<OwnerRow>(COLLECTION, { id, key });
  }

  /** Of a thing that is gone. */
  async forget(id: string): Promise<void> {
    await this.store.rows.remove(COLLECTION, id);
  }

  async isOwn(request: FastifyRequest, id: string): Promise<boolean> {
    // Where nobody has a key everything is there for whoever asks.
    if (request.keyId === undefined) return true;
    return isOwn(request, (await this.store.rows.get<OwnerRow>(COLLECTION, id))?.key);
  }

  async own<T extends { id: string }>(request: FastifyRequest, rows: readonly T[]): Promise<T[]> {
    const mine = await Promise.all(rows.map(({ id }) => this.isOwn(request, id)));
    return rows.filter((_, i) => mine[i]);
  }
}
