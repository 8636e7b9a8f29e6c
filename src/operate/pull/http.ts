/**
 * Requests that follow redirects with care: another host only over https, never from a public host to a private
 * address, and a key is shown to the first host alone. Knows no hub and no files.
 */
import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import http from 'node:http';
import https from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { InkstoneError } from '../../base/errors.ts';

const PRIVATE = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const)
  PRIVATE.addSubnet(network, prefix, 'ipv4');
for (const [network, prefix] of [
  ['::', 96],
  // Ways of writing an IPv4 address as an IPv6 one: NAT64, 6to4, Teredo.
  ['64:ff9b::', 96],
  ['2002::', 16],
  ['2001::', 32],
  ['64:ff9b:1::', 48],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  PRIVATE.addSubnet(network, prefix, 'ipv6');

/** An address of this machine or a network that is not the world's. */
export function isPrivate(address: string): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return isPrivate(mapped);
  return PRIVATE.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

export interface RequestOptions {
  headers?: Readonly<Record<string, string>>;
  /** Shown to the first host only. */
  token?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds without a byte. */
  patience?: number;
  /** How names become addresses; tests bring their own. */
  lookup?: LookupFunction;
}

export interface Response {
  status: number;
  headers: http.IncomingHttpHeaders;
  /** Headers of the first answer, before any redirect: hubs say there what a file is. */
  first: http.IncomingHttpHeaders;
  body: http.IncomingMessage;
}

const REDIRECTS = 8;

function failed(what: string, hint: string, cause?: unknown): InkstoneError {
  return new InkstoneError('pull_failed', what, { kind: 'resource', hint, cause });
}

const refused = (what: string): InkstoneError =>
  new InkstoneError('redirect_refused', what, {
    kind: 'denied',
    hint: 'do not trust this source, or name the last address itself',
  });

/** @throws InkstoneError `redirect_refused` */
export function checkRedirect(from: URL, to: URL): void {
  if (to.protocol !== 'https:' && to.protocol !== 'http:')
    throw refused(`${from.host} leads to ${to.protocol}, which is not followed`);
  if (to.host === from.host && !(from.protocol === 'https:' && to.protocol === 'http:')) return;
  if (to.protocol !== 'https:') throw refused(`${from.host} leads to ${to.host} without https`);
}

/** Answers with the addresses of a name, and with an error where one of them is private. */
export function publicOnly(lookup: LookupFunction): LookupFunction {
  return (name, options, callback) => {
    lookup(name, { ...options, all: true }, (error, found) => {
      const all = found as unknown as LookupAddress[];
      if (error !== null) return callback(error, '', 0);
      const hidden = all.find(({ address }) => isPrivate(address));
      if (hidden !== undefined)
        return callback(
          refused(`${name} is ${hidden.address}, a private address`) as NodeJS.ErrnoException,
          '',
          0,
        );
      if (options.all === true) return callback(null, all);
      const [one] = all as [LookupAddress];
      callback(null, one.address, one.family);
    });
  };
}

/**
 * GET, redirects followed. The body is to be read or destroyed.
 * @throws InkstoneError `redirect_refused`, `pull_failed`, `cancelled`
 */
export async function get(start: URL, options: RequestOptions = {}): Promise<Response> {
  const { lookup = systemLookup as LookupFunction } = options;
  let url = start;
  let first: http.IncomingHttpHeaders | undefined;
  /** Set by the first answer: whether it came from a private address. */
  let fromPrivate = false;
  for (let hops = 0; hops <= REDIRECTS; hops++) {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const guarded = hops > 0 && !fromPrivate;
    if (guarded && isIP(host) !== 0 && isPrivate(host))
      throw refused(`${start.host} leads to ${host}, a private address`);
    const body = await once(
      url,
      { ...options, lookup: guarded ? publicOnly(lookup) : lookup },
      url.host === start.host,
    );
    first ??= body.headers;
    if (hops === 0) fromPrivate = isPrivate(body.socket.remoteAddress ?? '127.0.0.1');
    const status = body.statusCode ?? 0;
    const { location } = body.headers;
    if (![301, 302, 303, 307, 308].includes(status) || location === undefined)
      return { status, headers: body.headers, first, body };
    body.destroy();
    if (!URL.canParse(location, url.href)) throw refused(`${url.host} leads to no address`);
    const next = new URL(location, url);
    checkRedirect(url, next);
    url = next;
  }
  throw refused(`${start.host} leads on and on`);
}

function once(url: URL, options: RequestOptions, own: boolean): Promise<http.IncomingMessage> {
  const { headers = {}, token, signal, patience = 60_000, lookup } = options;
  return new Promise((resolve, reject) => {
    const fail = (thrown: unknown): void => {
      if (InkstoneError.is(thrown)) reject(thrown);
      else if (signal?.aborted === true)
        reject(new InkstoneError('cancelled', 'stopped before the end', { kind: 'conflict', cause: thrown }));
      else
        reject(
          failed(
            `${url.host} cannot be reached: ${(thrown as Error).message}`,
            'check the network and repeat',
            thrown,
          ),
        );
    };
    const request = (url.protocol === 'https:' ? https : http).get(
      url,
      {
        headers: {
          'user-agent': 'inkstone',
          'accept-encoding': 'identity',
          ...headers,
          ...(own && token !== undefined ? { authorization: `Bearer ${token}` } : {}),
        },
        ...(lookup === undefined ? {} : { lookup }),
        ...(signal === undefined ? {} : { signal }),
      },
      resolve,
    );
    request.on('error', fail);
    request.setTimeout(patience, () => request.destroy(new Error(`nothing came for ${patience / 1000} s`)));
  });
}

/** A JSON answer of bounded size. @throws InkstoneError `pull_failed`, and what `get` throws */
export async function getJson(
  url: URL,
  options: RequestOptions = {},
): Promise<{ status: number; headers: http.IncomingHttpHeaders; value: unknown }> {
  const { status, headers, body } = await get(url, options);
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      size += piece.length;
      if (size > 64 * 2 ** 20) throw failed(`${url.host} answers without end`, 'do not trust this source');
      pieces.push(piece);
    }
  } catch (thrown) {
    if (InkstoneError.is(thrown)) throw thrown;
    throw failed(`${url.host} broke off its answer`, 'repeat', thrown);
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch {
    value = undefined;
  }
  return { status, headers, value };
}
