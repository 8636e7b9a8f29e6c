/** Servers that answer as a test says, and gateways before them, over real sockets. */
import { mkdtemp, rm } from 'node:fs/promises';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import OpenAI from 'openai';
import type { GatewayOptions } from '../../src/serve/gateway/config.ts';
import { type Gateway, type StartGatewayOptions, startGateway } from '../../src/serve/gateway/gateway.ts';
import { openFileStore } from '../../src/store/index.ts';

export type Answer = (request: IncomingMessage, reply: ServerResponse, body: Record<string, unknown>) => void;

export interface Fake {
  name: string;
  url: string;
  asked: { path: string; body: Record<string, unknown>; headers: http.IncomingHttpHeaders }[];
  answer: Answer;
  /** Stops listening and cuts all connections. */
  down(): Promise<void>;
  up(): Promise<void>;
  /** Is not to be reached any more; what is open stays open, and silent. */
  cutOff(): void;
}

export const says =
  (text: string): Answer =>
  (_, reply) => {
    const message = { role: 'assistant', content: text, refusal: null };
    const choices = [{ index: 0, message, finish_reason: 'stop', logprobs: null }];
    const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
    reply
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ id: 'c', object: 'chat.completion', created: 1, model: 'm', choices, usage }));
  };
export const refuses =
  (status: number, headers: Record<string, string> = {}): Answer =>
  (_, reply) =>
    void reply
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(JSON.stringify({ error: { message: `no: ${status}`, type: 't', param: null, code: 'no' } }));

export interface Started {
  gateway: Gateway;
  client: OpenAI;
  lines: Record<string, unknown>[];
}

export class GatewayScene {
  /** For stores of a test's own. */
  folder = '';
  private readonly closing: (() => Promise<unknown>)[] = [];

  async open(): Promise<void> {
    this.folder = await mkdtemp(path.join(tmpdir(), 'inkstone-gateway-'));
  }

  /** Ends what was started; servers after the gateways before them. */
  async end(): Promise<void> {
    await Promise.all(this.closing.splice(0).map((close) => close()));
  }

  close(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }

  /** @param answer default: its own name */
  async fake(name: string, answer: Answer = says(name), models = ['m']): Promise<Fake> {
    const one: Fake = {
      name,
      url: '',
      asked: [],
      answer,
      down: async () => {},
      up: async () => {},
      cutOff: () => {},
    };
    const server = http.createServer((request, reply) => {
      let text = '';
      request.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      request.on('end', () => {
        if (request.url === '/v1/models') {
          reply.writeHead(200, { 'content-type': 'application/json' });
          reply.end(JSON.stringify({ object: 'list', data: models.map((id) => ({ id, object: 'model' })) }));
          return;
        }
        const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
        one.asked.push({ path: request.url ?? '', body, headers: request.headers });
        one.answer(request, reply, body);
      });
    });
    let port = 0;
    one.up = () => new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve()));
    one.down = () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    one.cutOff = () => void server.close();
    await one.up();
    port = (server.address() as AddressInfo).port;
    one.url = `http://127.0.0.1:${port}`;
    this.closing.push(() => one.down());
    return one;
  }

  async start(
    fakes: readonly Fake[],
    more: Partial<GatewayOptions> = {},
    each: (fake: Fake) => object = () => ({}),
    options: Partial<StartGatewayOptions> = {},
  ): Promise<Started> {
    const lines: Record<string, unknown>[] = [];
    const gateway = await startGateway({
      ...{
        port: 0,
        store: await openFileStore(
          path.join(this.folder, `store-${this.closing.length}-${fakes[0]?.url.slice(-5)}`),
        ),
      },
      settings: {
        upstreams: fakes.map((one) => ({ name: one.name, url: one.url, ...each(one) })),
        health: 600,
        ...more,
      },
      logRequest: (facts) => void lines.push(facts),
      ...options,
    });
    this.closing.unshift(() => gateway.close());
    const client = new OpenAI({ baseURL: `${gateway.address}/v1`, apiKey: 'none', maxRetries: 0 });
    return { gateway, client, lines };
  }
}
