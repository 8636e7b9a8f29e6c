/**
 * Objects in an S3 bucket (Amazon's, or any server that speaks it): named by their hash, which the server checks when they
 * come and we check when they go. Large ones travel in parts. Knows no rows. Credentials come from the usual variables.
 */
import { createHash } from 'node:crypto';
import { AwsClient } from 'aws4fetch';
import type { Objects, StoredObject } from '../../base/contracts/store.ts';
import { InkstoneError } from '../../base/errors.ts';
import { environment, openFile, removeFile, temporaryPath } from '../../base/host.ts';
import { checkHash, objectCorrupt, objectMissing } from '../names.ts';

/** Bytes of a part; what is smaller goes in one request, out of memory. */
const PART = 8 * 2 ** 20;
/** Milliseconds for one request. */
const LIMIT = 60_000;
/** Times that a request is sent again: the line broke, or the server was busy. */
const RETRIES = 4;

/** The system's words for a line that broke are hidden in causes; none of them is the server's answer. */
const EMPTY = createHash('sha256').digest('hex');

/**
 * @param address `s3://BUCKET` or `s3://BUCKET/PREFIX`
 * @param options.page objects listed at a time
 * @throws InkstoneError `objects_address_invalid`, `objects_denied`, `bucket_missing`, `objects_unreachable`
 */
export async function openS3Objects(address: string, options: { page?: number } = {}): Promise<Objects> {
  const objects = new S3Objects(address, options.page ?? 1000);
  await objects.list().next();
  return objects;
}

class S3Objects implements Objects {
  private readonly client: AwsClient;
  /** Of the bucket, with a slash at the end. */
  private readonly base: string;
  private readonly prefix: string;
  private readonly page: number;

  constructor(address: string, page: number) {
    this.page = page;
    const [, bucket, prefix] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(address) ?? [];
    const [key, secret] = [environment('AWS_ACCESS_KEY_ID'), environment('AWS_SECRET_ACCESS_KEY')];
    if (bucket === undefined)
      throw new InkstoneError('objects_address_invalid', `"${address}" is no address of a bucket`, {
        kind: 'usage',
        hint: 'write it as s3://BUCKET or s3://BUCKET/PREFIX',
      });
    if (key === undefined || secret === undefined)
      throw new InkstoneError('objects_denied', 'there are no credentials for the object store', {
        kind: 'denied',
        hint: 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
      });
    const region = environment('AWS_REGION') ?? environment('AWS_DEFAULT_REGION') ?? 'us-east-1';
    const token = environment('AWS_SESSION_TOKEN');
    const endpoint = environment('AWS_ENDPOINT_URL_S3') ?? environment('AWS_ENDPOINT_URL');
    this.base =
      endpoint === undefined
        ? `https://${bucket}.s3.${region}.amazonaws.com/`
        : `${endpoint.replace(/\/+$/, '')}/${bucket}/`;
    this.prefix = prefix === undefined || prefix === '' ? '' : `${prefix.replace(/\/+$/, '')}/`;
    this.client = new AwsClient({
      accessKeyId: key,
      secretAccessKey: secret,
      service: 's3',
      region,
      ...(token === undefined ? {} : { sessionToken: token }),
      retries: RETRIES,
      initRetryMs: 100,
    });
  }

  private url(hash: string): string {
    return `${this.base}${this.prefix}objects/${hash.slice(0, 2)}/${hash}`;
  }

  /** @param missing whether 404 is an answer */
  private async ask(
    method: string,
    url: string,
    options: {
      body?: Uint8Array<ArrayBuffer> | string;
      headers?: Record<string, string>;
      missing?: boolean;
    } = {},
  ): Promise<Response> {
    const { body, headers = {}, missing = false } = options;
    const sum = body === undefined ? EMPTY : createHash('sha256').update(body).digest('hex');
    let response: Response | undefined;
    let cause: unknown;
    for (let attempt = 0; attempt <= RETRIES && response === undefined; attempt++) {
      if (attempt > 0) await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** attempt));
      try {
        response = await this.client.fetch(url, {
          method,
          headers: { ...headers, 'x-amz-content-sha256': sum },
          ...(body === undefined ? {} : { body }),
          signal: AbortSignal.timeout(LIMIT),
        });
      } catch (thrown) {
        cause = thrown;
      }
    }
    if (response === undefined)
      throw new InkstoneError('objects_unreachable', 'the object store does not answer', {
        kind: 'resource',
        hint: 'look whether it runs; AWS_ENDPOINT_URL_S3 tells where',
        cause,
        details: { retryAfter: 2 },
      });
    if (response.ok) return response;
    const text = method === 'HEAD' ? '' : await response.text();
    const code = /<Code>([^<]*)<\/Code>/.exec(text)?.[1] ?? String(response.status);
    if (response.status === 404 && missing && code !== 'NoSuchBucket') return response;
    throw refused(response.status, code, text);
  }

  async put(bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<{ hash: string; size: number }> {
    if (bytes instanceof Uint8Array && bytes.length <= PART) return this.putWhole(bytes);
    const digest = createHash('sha256');
    let pieces: Uint8Array[] = [];
    let held = 0;
    let size = 0;
    let spool: { file: Awaited<ReturnType<typeof openFile>>; at: string } | undefined;
    try {
      for await (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) {
        digest.update(piece);
        size += piece.length;
        held += piece.length;
        pieces.push(Uint8Array.from(piece));
        if (held < PART) continue;
        // Its name is known only at its end: what is too long for memory waits in a file.
        if (spool === undefined) {
          const at = temporaryPath('inkstone-object');
          spool = { at, file: await openFile(at, 'write') };
        }
        await spool.file.write(Buffer.concat(pieces));
        pieces = [];
        held = 0;
      }
      if (spool === undefined) return await this.putWhole(Buffer.concat(pieces));
      await spool.file.write(Buffer.concat(pieces));
      await spool.file.close();
      const hash = digest.digest('hex');
      await this.putParts(hash, spool.at, size);
      return { hash, size };
    } finally {
      if (spool !== undefined) {
        await spool.file.close().catch(() => undefined);
        await removeFile(spool.at);
      }
    }
  }

  private async putWhole(bytes: Uint8Array): Promise<{ hash: string; size: number }> {
    const body = Uint8Array.from(bytes);
    const hash = createHash('sha256').update(body).digest('hex');
    await this.ask('PUT', this.url(hash), { body });
    return { hash, size: body.length };
  }

  private async putParts(hash: string, at: string, size: number): Promise<void> {
    const url = this.url(hash);
    const begun = await (await this.ask('POST', `${url}?uploads=`)).text();
    const upload = /<UploadId>([^<]+)<\/UploadId>/.exec(begun)?.[1];
    if (upload === undefined) throw refused(200, 'NoUploadId', begun);
    const id = encodeURIComponent(upload);
    const file = await openFile(at, 'read');
    try {
      const tags: string[] = [];
      for (let start = 0; start < size; start += PART) {
        const body = new Uint8Array(Math.min(PART, size - start));
        await file.read(body, start);
        const part = await this.ask('PUT', `${url}?partNumber=${tags.length + 1}&uploadId=${id}`, { body });
        tags.push(part.headers.get('etag') ?? '');
        await part.body?.cancel();
      }
      const list = tags.map((tag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${tag}</ETag></Part>`);
      const body = `<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`;
      // Amazon answers 200 and tells of a failure in the text.
      const done = await (await this.ask('POST', `${url}?uploadId=${id}`, { body })).text();
      if (done.includes('<Error>')) throw refused(500, 'CompleteFailed', done);
    } catch (thrown) {
      await this.ask('DELETE', `${url}?uploadId=${id}`).catch(() => undefined);
      throw thrown;
    } finally {
      await file.close();
    }
  }

  async *get(hash: string): AsyncGenerator<Uint8Array> {
    const url = this.url(checkHash(hash));
    const digest = createHash('sha256');
    let read = 0;
    for (let attempt = 0; ; attempt++) {
      const response = await this.ask('GET', url, {
        missing: true,
        // A line that broke half-way is taken up again where it broke.
        ...(read === 0 ? {} : { headers: { range: `bytes=${read}-` } }),
      });
      if (response.status === 404) throw objectMissing(hash);
      if (read > 0 && response.status !== 206) throw objectCorrupt(hash);
      try {
        for await (const piece of response.body ?? []) {
          digest.update(piece);
          read += piece.length;
          yield piece;
        }
        break;
      } catch (thrown) {
        if (InkstoneError.is(thrown) || attempt >= RETRIES)
          throw InkstoneError.from(thrown, 'objects_unreachable');
      }
    }
    if (digest.digest('hex') !== hash) throw objectCorrupt(hash);
  }

  async has(hash: string): Promise<boolean> {
    const response = await this.ask('HEAD', this.url(checkHash(hash)), { missing: true });
    return response.ok;
  }

  async remove(hash: string): Promise<boolean> {
    const there = await this.has(hash);
    await this.ask('DELETE', this.url(hash), { missing: true });
    return there;
  }

  async *list(): AsyncGenerator<StoredObject> {
    // The first form of listing: every server has it, and it goes on behind any key.
    const query = `max-keys=${this.page}&prefix=${encodeURIComponent(`${this.prefix}objects/`)}`;
    let after: string | undefined;
    for (;;) {
      const behind = after === undefined ? '' : `&marker=${encodeURIComponent(after)}`;
      const text = await (await this.ask('GET', `${this.base.slice(0, -1)}?${query}${behind}`)).text();
      for (const [, entry = ''] of text.matchAll(/<Contents>([\s\S]*?)<\/Contents>/g)) {
        const field = (name: string): string =>
          new RegExp(`<${name}>([^<]*)</${name}>`).exec(entry)?.[1] ?? '';
        after = field('Key');
        const hash = after.split('/').at(-1) ?? '';
        if (!/^[0-9a-f]{64}$/.test(hash)) continue;
        yield { hash, size: Number(field('Size')), modified: Date.parse(field('LastModified')) };
      }
      if (!text.includes('<IsTruncated>true</IsTruncated>')) return;
    }
  }
}

function refused(status: number, code: string, text: string): InkstoneError {
  const said = /<Message>([^<]*)<\/Message>/.exec(text)?.[1] ?? code;
  const details = { status, code };
  if (status === 403 || status === 401)
    return new InkstoneError('objects_denied', `the object store refuses: ${said}`, {
      kind: 'denied',
      hint: 'look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the rights of that key',
      details,
    });
  if (code === 'NoSuchBucket' || status === 404)
    return new InkstoneError('bucket_missing', 'the object store has no such bucket', {
      kind: 'missing',
      hint: 'make the bucket first',
      details,
    });
  return new InkstoneError('objects_failed', `the object store answers ${status}: ${said}`, { details });
}
