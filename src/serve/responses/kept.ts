/** Responses that are kept: by id, with what went in, for whoever made them. Knows the store, no wire. */
import type { Row, Store } from '../../base/contracts/store.ts';
import { InkstoneError } from '../../base/errors.ts';
import { now } from '../../base/host.ts';
import type { ResponseItem } from './request.ts';

export interface KeptResponse extends Row {
  /** Seconds since 1970. */
  created: number;
  /** Id of the API key that made it; who has another does not see it. */
  key?: string | undefined;
  /** The response that it goes on from. */
  previous?: string | undefined;
  /** With ids. */
  input: readonly ResponseItem[];
  response: { output: readonly ResponseItem[] } & Record<string, unknown>;
}

const COLLECTION = 'responses';
/** Seconds. */
const LIFETIME = 30 * 86_400;
/** Responses of one conversation. */
const LONGEST_CHAIN = 1000;
const ITEM = /^(?:msg|fc)_([0-9a-f]{32})_(i?)(\d+)$/;

/** An item's id leads back to its response: `msg_…_0` came out of it, `msg_…_i0` went in. */
export const itemId = (kind: 'msg' | 'fc', response: string, index: number, input = false): string =>
  `${kind}_${response.slice('resp_'.length)}_${input ? 'i' : ''}${index}`;

export class KeptResponses {
  private readonly store: Store;

  constructor(store: Store) {
    this.store = store;
  }

  keep(row: KeptResponse): Promise<void> {
    return this.store.rows.put(COLLECTION, row);
  }

  private async find(id: string, key: string | undefined): Promise<KeptResponse | undefined> {
    if (!/^resp_[0-9a-f]{32}$/.test(id)) return undefined;
    const row = await this.store.rows.get<KeptResponse>(COLLECTION, id);
    const own = row?.key === undefined || row.key === key;
    return own && row !== undefined && row.created > now() / 1000 - LIFETIME ? row : undefined;
  }

  /** @throws InkstoneError `response_missing` */
  async get(id: string, key: string | undefined, param = 'response_id'): Promise<KeptResponse> {
    const row = await this.find(id, key);
    if (row !== undefined) return row;
    throw new InkstoneError('response_missing', `there is no response ${id}`, {
      kind: 'missing',
      hint: 'responses are kept for 30 days, unless they were made with store: false',
      details: { param },
    });
  }

  async remove(id: string, key: string | undefined): Promise<void> {
    await this.get(id, key);
    await this.store.rows.remove(COLLECTION, id);
  }

  /** All that was said up to and with a response. @throws InkstoneError `response_missing`, `conversation_too_long` */
  async history(id: string, key: string | undefined): Promise<ResponseItem[]> {
    const parts: ResponseItem[][] = [];
    for (let next: string | undefined = id; next !== undefined; ) {
      const row: KeptResponse = await this.get(next, key, 'previous_response_id');
      parts.push([...row.input, ...row.response.output]);
      if (parts.length > LONGEST_CHAIN)
        throw new InkstoneError('conversation_too_long', `${id} follows too many others`, {
          kind: 'usage',
          details: { param: 'previous_response_id' },
        });
      next = row.previous;
    }
    return parts.reverse().flat();
  }

  /** Puts items in the place of references to them. @throws InkstoneError `item_missing` */
  resolve(items: readonly ResponseItem[], key: string | undefined): Promise<ResponseItem[]> {
    return Promise.all(
      items.map(async (item, i) => {
        const { id } = item;
        // A reference may leave its type out.
        const refers = item.type === 'item_reference' || (!item.type && !item.role && typeof id === 'string');
        if (!refers) return item;
        const [, response, input, index] = ITEM.exec(id ?? '') ?? [];
        const row = response === undefined ? undefined : await this.find(`resp_${response}`, key);
        const found = (input === 'i' ? row?.input : row?.response.output)?.[Number(index)];
        if (found !== undefined) return found;
        throw new InkstoneError('item_missing', `there is no item ${id}`, {
          kind: 'missing',
          hint: 'send the item itself',
          details: { param: `input.${i}.id` },
        });
      }),
    );
  }

  /** Removes what is too old. */
  async prune(): Promise<void> {
    const oldest = now() / 1000 - LIFETIME;
    for (const { id, created } of await this.store.rows.list<KeptResponse>(COLLECTION))
      if (created <= oldest) await this.store.rows.remove(COLLECTION, id);
  }
}
