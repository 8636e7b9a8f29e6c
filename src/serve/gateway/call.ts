/** One request to one upstream over kept connections: until its head is there, and then its bytes. Chooses nobody. */
import http from 'node:http';
import https from 'node:https';
import type { Readable } from 'node:stream';
import { urlToHttpOptions } from 'node:url';
import { InkstoneError } from '../../base/errors.ts';
import { BEHALF } from '../behalf.ts';

export interface CallHead {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Readable;
}

export interface Call {
  head: Promise<CallHead>;
  /** Gives it up, head or body; of one that is over it does nothing. */
  cancel(): void;
}

/** Belong to one connection (RFC 9110, 7.6.1), or are this gateway's own. */
const OWN = new Set([
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer', 'upgrade'],
  ...['transfer-encoding', 'host', 'authorization', 'content-length', 'expect', 'cookie', 'origin'],
  BEHALF,
]);

export function forwarded(headers: http.IncomingHttpHeaders): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !OWN.has(name)) kept[name] = value;
  return kept;
}

/** Of an answer: its length and its encoding stay as they are. What is left of limits there is this gateway's own account. */
export function answered(headers: http.IncomingHttpHeaders): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !OTHERS.has(name) && !name.startsWith('x-ratelimit-')) kept[name] = value;
  return kept;
}

const OTHERS = new Set(['connection', 'keep-alive', 'transfer-encoding', 'x-request-id']);
/** Addresses that are kept taken apart. */
const ADDRESSES = 256;

export class Connections {
  private readonly plain = new http.Agent({ keepAlive: true, maxSockets: 4096, maxFreeSockets: 256 });
  private readonly secure = new https.Agent({ keepAlive: true, maxSockets: 4096, maxFreeSockets: 256 });
  private readonly addresses = new Map<string, http.RequestOptions>();

  private partsOf(address: string): http.RequestOptions {
    const known = this.addresses.get(address);
    if (known !== undefined) return known;
    const parts = urlToHttpOptions(new URL(address));
    if (this.addresses.size >= ADDRESSES) this.addresses.clear();
    this.addresses.set(address, parts);
    return parts;
  }

  /**
   * @param silence milliseconds without a byte after which it is given up
   * @throws (its head) the connection's error, InkstoneError `upstream_silent`
   */
  call(
    address: string,
    request: { method: string; headers: Record<string, string | string[]>; body?: Buffer },
    silence: number,
  ): Call {
    try {
      return this.begin(address, request, silence);
    } catch (thrown) {
      // What no request can be made of is told as one that failed.
      return { head: Promise.reject(thrown), cancel: () => undefined };
    }
  }

  private begin(
    address: string,
    request: { method: string; headers: Record<string, string | string[]>; body?: Buffer },
    silence: number,
  ): Call {
    const parts = this.partsOf(address);
    const secure = parts.protocol === 'https:';
    const call = (secure ? https : http).request({
      ...parts,
      method: request.method,
      agent: secure ? this.secure : this.plain,
      headers:
        request.body === undefined
          ? request.headers
          : { ...request.headers, 'content-length': String(request.body.length) },
    });
    const head = new Promise<CallHead>((resolve, reject) => {
      call.on('error', reject);
      call.on('response', (response) =>
        resolve({ status: response.statusCode ?? 502, headers: response.headers, body: response }),
      );
    });
    call.setTimeout(silence, () => call.destroy(silent(silence)));
    call.end(request.body);
    return { head, cancel: () => void call.destroy() };
  }

  close(): void {
    this.plain.destroy();
    this.secure.destroy();
  }
}

const silent = (milliseconds: number): InkstoneError =>
  new InkstoneError('upstream_silent', `no byte came within ${milliseconds / 1000} s`, { kind: 'resource' });

/** All of a small answer; undefined where it is larger than `most` bytes. */
export async function whole(body: Readable, most: number): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of body) {
    size += (piece as Buffer).length;
    if (size > most) {
      body.destroy();
      return undefined;
    }
    pieces.push(piece as Buffer);
  }
  return Buffer.concat(pieces);
}
