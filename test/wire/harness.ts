/** What the wire's tests share: a home with a model in it, servers that end with their test, both SDKs, plain requests. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createOpenAI, type OpenAIProvider } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll } from 'vitest';
import type { Replica } from '../../src/base/contracts/replica.ts';
import { BpeTokenizer, END_OF_TEXT } from '../../src/data/tokenizer/bpe.ts';
import { writeSafetensors } from '../../src/formats/safetensors.ts';
import { textConfig, textParameters } from '../../src/models/text/architectures.ts';
import { initialise } from '../../src/nn/parameters.ts';
import { type RunningServer, type ServerOptions, startServer } from '../../src/serve/index.ts';
import { writeEmptyModel } from '../../src/serve/testing.ts';

export interface Asked {
  status: number;
  headers: Headers;
  body: unknown;
}

export interface Wire {
  server: RunningServer;
  client: OpenAI;
  ai: OpenAIProvider;
  compatible: ReturnType<typeof createOpenAICompatible>;
  /** Sends a body as it is. */
  post(route: string, body: unknown, headers?: Record<string, string>): Promise<Asked>;
}

export interface WireHome {
  readonly folder: string;
  /** `replica` answers for every model; without one models run in processes of their own. */
  start(replica?: Replica, options?: ServerOptions): Promise<Wire>;
  /** A server whose models run: the first test that asks starts it, and the others of the file have the same. */
  shared(options: ServerOptions): Promise<Wire>;
}

/** A folder that is there while the tests of a file run; `models` are empty ones by name. */
export function wireHome(models: readonly string[] = ['letters']): WireHome {
  let folder = '';
  let servers: RunningServer[] = [];
  const kept = new Map<string, Promise<RunningServer>>();
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'inkstone-wire-'));
    for (const name of models) await writeEmptyModel(folder, name);
  });
  afterEach(async () => {
    await Promise.all(servers.map((server) => server.close()));
    servers = [];
  });
  afterAll(async () => {
    for (const server of kept.values()) await (await server).close();
    await rm(folder, { recursive: true, force: true });
  });
  return {
    get folder() {
      return folder;
    },
    async start(replica, options = {}) {
      const server = await startServer({
        ...{ port: 0, home: folder, ...(models[0] === undefined ? {} : { model: models[0] }) },
        ...(replica === undefined ? {} : { startReplica: () => replica }),
        ...options,
      });
      servers.push(server);
      return connect(server);
    },
    async shared(options) {
      const name = JSON.stringify(options);
      const server = kept.get(name) ?? startServer({ port: 0, home: folder, ...options });
      kept.set(name, server);
      return connect(await server);
    },
  };
}

/** A model with random weights that knows single bytes: it writes nothing of sense, quickly. */
export async function tinyWriter(home: WireHome, name: string, context = 2048): Promise<void> {
  const model = textConfig.parse({
    ...{ architecture: 'llama', layers: 1, heads: 2, keyHeads: 1, headWidth: 8, width: 16, hidden: 32 },
    ...{ context, vocabulary: 257 },
  });
  const tokens = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  tokens.push(new TextEncoder().encode(END_OF_TEXT));
  const folder = path.join(home.folder, 'runs', name);
  await mkdir(folder, { recursive: true });
  const config = { family: 'text', architecture: 'llama', model, created: 9, chat: true };
  await writeFile(path.join(folder, 'config.json'), JSON.stringify(config));
  await writeFile(
    path.join(folder, 'tokenizer.json'),
    new BpeTokenizer({ tokens, merges: [], endOfText: 256 }).toJson(),
  );
  await writeFile(
    path.join(folder, 'model.safetensors'),
    writeSafetensors(initialise(textParameters(model), 3)),
  );
}

/** Both SDKs on a server. */
export function connect(server: RunningServer): Wire {
  const baseURL = `${server.address}/v1`;
  return {
    server,
    client: new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 }),
    ai: createOpenAI({ baseURL, apiKey: 'none' }),
    compatible: createOpenAICompatible({
      ...{ name: 'inkstone', baseURL, includeUsage: true, supportsStructuredOutputs: true },
    }),
    async post(route, body, headers = {}) {
      const response = await fetch(`${server.address}${route}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      });
      return { status: response.status, headers: response.headers, body: await response.json() };
    },
  };
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
