/** A hub on this machine that speaks the hub's API and misbehaves when told to. For tests only. */
import { createHash } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HubFile {
  content: Buffer;
  /** Kept as a large file: the list says its SHA-256. */
  large?: boolean;
  /** What the list says instead of the truth. */
  says?: { size?: number; sha256?: string; oid?: string };
  /** Bytes after which each of the next answers is cut. */
  cuts?: number[];
  /** Answers ranges as if nothing had been asked. */
  noRanges?: boolean;
  /** Answers ranges from another place. */
  shifted?: boolean;
  /** Where the address leads instead. */
  redirect?: string;
  /** Bytes that are really sent, whatever was promised. */
  sends?: Buffer;
  status?: number;
  headers?: Record<string, string>;
}

export interface TestHub {
  address: string;
  files: Map<string, HubFile>;
  commit: string;
  /** Requests for contents: path, range and key. */
  asked: { path: string; range: string | undefined; key: string | undefined }[];
  /** Names that the list has without there being such a file. */
  listed: { type: string; path: string; size: number; oid?: string }[];
  pageSize: number;
  close(): Promise<void>;
}

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
const gitOid = (content: Buffer): string =>
  createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');

/** Serves one repository, `team/model`, and single files below `/files/`. */
export async function startHub(files: Record<string, HubFile>): Promise<TestHub> {
  const hub: TestHub = {
    address: '',
    files: new Map(Object.entries(files)),
    commit: 'a'.repeat(40),
    asked: [],
    listed: [],
    pageSize: 100,
    close: async () => undefined,
  };
  const server = http.createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://hub');
    const json = (status: number, value: unknown, headers: Record<string, string> = {}): void => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify(value));
    };
    if (/^\/api\/models\/team\/model\/revision\/(main|v1|a{40}|b{40})$/.test(url.pathname))
      return json(200, { sha: hub.commit });
    if (url.pathname === '/api/models/closed/model/revision/main') return json(401, { error: 'gated' });
    if (url.pathname === '/api/models/odd/model/revision/main') {
      response.end('<html>welcome</html>');
      return;
    }
    if (url.pathname === `/api/models/team/model/tree/${hub.commit}`) {
      const all = [...listing(hub), ...hub.listed];
      const page = Number(url.searchParams.get('cursor') ?? 0);
      const next = (page + 1) * hub.pageSize;
      const link = `<${hub.address}${url.pathname}?recursive=1&cursor=${page + 1}>; rel="next"`;
      return json(200, all.slice(page * hub.pageSize, next), next < all.length ? { link } : {});
    }
    const [, name] =
      /^\/(?:team\/model\/resolve\/[^/]+|files|cdn)\/(.+)$/.exec(decodeURIComponent(url.pathname)) ?? [];
    const file = name === undefined ? undefined : hub.files.get(name);
    if (file === undefined) return json(404, { error: 'not found' });
    if (file.redirect !== undefined && !url.pathname.startsWith('/cdn/')) {
      const head = { location: file.redirect, 'x-linked-etag': `"${sha256(file.content)}"` };
      response.writeHead(302, head).end();
      return;
    }
    hub.asked.push({
      path: url.pathname,
      range: request.headers.range,
      key: request.headers.authorization,
    });
    answer(file, request.headers.range, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  hub.address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  hub.close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return hub;
}

function listing(hub: TestHub): object[] {
  return [...hub.files].map(([path, { content, large, says = {} }]) => {
    const size = says.size ?? content.length;
    return {
      ...{ type: 'file', path, size, oid: says.oid ?? gitOid(content) },
      ...(large === true ? { lfs: { oid: says.sha256 ?? sha256(content), size, pointerSize: 130 } } : {}),
    };
  });
}

function answer(file: HubFile, range: string | undefined, response: http.ServerResponse): void {
  if (file.status !== undefined) {
    response.writeHead(file.status).end();
    return;
  }
  const content = file.sends ?? file.content;
  const from = file.noRanges === true ? 0 : Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0);
  const partial = range !== undefined && file.noRanges !== true;
  const begin = file.shifted === true && partial ? from + 1 : from;
  const body = content.subarray(begin);
  response.writeHead(partial ? 206 : 200, {
    'content-length': String(body.length),
    etag: `"${gitOid(file.content)}"`,
    ...(partial ? { 'content-range': `bytes ${begin}-${content.length - 1}/${content.length}` } : {}),
    ...file.headers,
  });
  const cut = file.cuts?.shift();
  if (cut === undefined || cut >= body.length) {
    response.end(body);
    return;
  }
  response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 20));
}
