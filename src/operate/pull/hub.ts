/**
 * A hub that speaks the Hugging Face hub's API: which commit a revision is, which files it has, where each is fetched.
 * Knows no disk.
 */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { getJson, type RequestOptions } from './http.ts';
import type { RemoteFile } from './select.ts';

const entry = z.looseObject({
  type: z.string(),
  path: z.string(),
  size: z.number().int().min(0).default(0),
  oid: z.string().optional(),
  lfs: z.looseObject({ oid: z.string(), size: z.number().int().min(0) }).optional(),
});

/** Pages of a list that are read at most. */
const PAGES = 100;

export class Hub {
  private readonly base: URL;
  private readonly options: RequestOptions;

  /** @throws InkstoneError `source_invalid` */
  constructor(base: string, options: RequestOptions = {}) {
    if (!URL.canParse(base) || !/^https?:$/.test(new URL(base).protocol))
      throw new InkstoneError('source_invalid', `"${base}" is no address of a hub`, {
        kind: 'usage',
        hint: 'give --hub or INKSTONE_HUB an address such as https://huggingface.co',
      });
    this.base = new URL(base.endsWith('/') ? base : `${base}/`);
    this.options = options;
  }

  /** The commit that a revision is now, so that all files are of one state. */
  async commit(repository: string, revision: string): Promise<string> {
    const url = new URL(`api/models/${repository}/revision/${encodeURIComponent(revision)}`, this.base);
    const { status, value } = await getJson(url, this.options);
    this.check(status, `${repository}@${revision}`);
    const sha = (value as { sha?: unknown } | undefined)?.sha;
    if (typeof sha !== 'string' || !/^[0-9a-f]{40,64}$/.test(sha)) throw this.unexpected(url);
    return sha;
  }

  /** All files of a commit. */
  async files(repository: string, commit: string): Promise<RemoteFile[]> {
    const found: RemoteFile[] = [];
    let next: URL | undefined = new URL(`api/models/${repository}/tree/${commit}?recursive=1`, this.base);
    for (let page = 0; next !== undefined && page < PAGES; page++) {
      const { status, headers, value }: Awaited<ReturnType<typeof getJson>> = await getJson(
        next,
        this.options,
      );
      this.check(status, repository);
      const read = z.array(entry).safeParse(value);
      if (!read.success) throw this.unexpected(next);
      for (const { type, path, size, oid, lfs } of read.data) {
        if (type !== 'file') continue;
        const sha256 = lfs === undefined ? undefined : lfs.oid.replace(/^sha256:/, '');
        found.push({ path, size: lfs?.size ?? size, sha256, gitOid: lfs === undefined ? oid : undefined });
      }
      next = this.following(headers.link, next);
    }
    return found;
  }

  address(repository: string, commit: string, file: string): URL {
    const name = file.split('/').map(encodeURIComponent).join('/');
    return new URL(`${repository}/resolve/${commit}/${name}`, this.base);
  }

  /** The next page; another host's is not asked. */
  private following(link: string | string[] | undefined, at: URL): URL | undefined {
    const target = /<([^>]+)>\s*;\s*rel="?next"?/.exec(String(link ?? ''))?.[1];
    if (target === undefined) return undefined;
    const url = new URL(target, at);
    if (url.host !== this.base.host || url.protocol !== this.base.protocol) throw this.unexpected(at);
    return url;
  }

  private check(status: number, what: string): void {
    const { host } = this.base;
    if (status === 200) return;
    if (status === 401 || status === 403)
      throw new InkstoneError('hub_denied', `${host} does not show ${what} to everybody (${status})`, {
        kind: 'denied',
        hint: 'look at the name; for a closed model ask for access there and set INKSTONE_HUB_TOKEN',
      });
    if (status === 404)
      throw new InkstoneError('repository_not_found', `there is no ${what} at ${host}`, {
        kind: 'missing',
        hint: 'look at the name and the revision; another hub is named with --hub',
      });
    throw new InkstoneError('pull_failed', `${host} answers ${status}`, {
      kind: 'resource',
      hint: 'try again later',
    });
  }

  private unexpected(url: URL): InkstoneError {
    return new InkstoneError('hub_unexpected', `${url.host} does not answer as a hub does`, {
      kind: 'data',
      hint: 'look at --hub or INKSTONE_HUB',
    });
  }
}
