/**
 * A server that answers like Inkstone's, from a script: for the studio's browser tests only. It streams a
 * fixed text with made-up but repeatable probabilities, and "trains" along a fixed curve.
 */
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { tallyVotes } from '../../src/evaluate/votes.ts';
import type { Ballot } from '../../src/studio/api/types.ts';
import { inspection } from './fixture-inspect.ts';
import { IMAGE_PRESETS, PICTURE_MODELS, pictured, sheetOf } from './fixture-pictures.ts';
import { CARD, CHAT_CARD, PRESETS, TEXT } from './fixture-texts.ts';
import { FixtureTraining } from './fixture-training.ts';
import { checkOf, eventsOf } from './fixture-tuning.ts';
import { FixtureWatch } from './fixture-watch.ts';

export interface FixtureServer {
  url: string;
  /** Bodies of generation requests, in order. */
  requests: Record<string, unknown>[];
  /** How many streams the client closed before their end. */
  hungUp: number;
  trainings: FixtureTraining[];
  files: { id: string; name: string; bytes: number; created: number }[];
  /** Bodies of votes, in order. */
  votes: Ballot[];
  watch: FixtureWatch;
  behaviour: Behaviour;
  close(): Promise<void>;
}

export interface Behaviour {
  /** Milliseconds between tokens. */
  pause: number;
  /** Answer this many generation requests with 503 and a growing progress first. */
  loadingFor: number;
  /** Answer generation requests with this error. */
  error?: { status: number; code: string; message: string; hint?: string } | undefined;
  /** End the stream with an error after this many tokens. */
  breakAfter?: number | undefined;
  /** Steps of a tuning; default 400. */
  steps?: number;
  /** Demand this bearer key. */
  key?: string | undefined;
  noModels?: boolean;
  noPictures?: boolean;
}

const MODELS = [
  {
    id: 'starter',
    source: 'starter',
    chat: false,
    state: 'ready',
    parameters: 2_734_080,
    context: 256,
    card: CARD,
  },
  {
    id: 'little-sage',
    source: 'folder',
    chat: true,
    state: 'ready',
    parameters: 10_646_784,
    context: 512,
    card: CHAT_CARD,
  },
  {
    id: 'sea-letters',
    source: 'run',
    chat: false,
    state: 'starting',
    parameters: 804_096,
    context: 64,
    card: '',
  },
] as const;

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export async function startFixtureServer(folder: string): Promise<FixtureServer> {
  const state: FixtureServer = {
    url: '',
    requests: [],
    hungUp: 0,
    trainings: [],
    files: [],
    votes: [],
    watch: new FixtureWatch(),
    behaviour: { pause: 2, loadingFor: 0 },
    close: async () => {
      for (const training of state.trainings) training.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const server = createServer((request, response) => {
    handle(state, folder, request, response).catch((error) => fail(response, 500, 'fixture', String(error)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  state.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return state;
}

async function handle(
  state: FixtureServer,
  folder: string,
  request: IncomingMessage,
  response: ServerResponse,
) {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const path = url.pathname;
  if (path === '/session') return session(state, request, response);
  if (!path.startsWith('/api/') && !path.startsWith('/v1/')) return serveFile(folder, path, response);
  const { key } = state.behaviour;
  if (key !== undefined && !loggedIn(request)) {
    return fail(response, 401, 'invalid_api_key', 'Incorrect API key provided.');
  }
  if (key !== undefined && request.method !== 'GET' && request.headers['x-csrf-token'] !== 'token')
    return fail(response, 403, 'csrf_missing', 'Not from the studio’s own page.');
  if (path === '/api/watch') return json(response, state.watch.answer());
  if (path.startsWith('/api/alerts/silences')) {
    if (request.method === 'DELETE') state.watch.silences.length = 0;
    else {
      const body = JSON.parse((await read(request)).toString()) as { rule: string };
      state.watch.silences.push({ ...body, id: 'silence-1', until: 4e12, comment: '', by: 'k1' });
    }
    return json(response, { id: 'silence-1' });
  }
  const tuning = await handleTuning(state, url, request);
  if (tuning !== undefined) return json(response, tuning);
  const training = /^\/api\/trainings\/([^/]+)(\/events|\/stop)?$/.exec(path);
  if (path === '/v1/completions' || path === '/v1/chat/completions')
    return generation(state, path, request, response);
  if (path === '/api/system') {
    return json(response, {
      version: '0.1.0',
      node: process.version,
      machine: 'fixture',
      home: '',
      uptime: 1,
      memory: 1,
    });
  }
  if (path === '/api/models') {
    const trained = state.trainings.filter((each) => each.ended).map((each) => each.asModel());
    const models = MODELS.map((model) => ({ ...model, family: 'text', created: 1_763_900_000 }));
    const pictures = state.behaviour.noPictures === true ? [] : PICTURE_MODELS;
    const all = state.behaviour.noModels === true ? [] : [...models, ...trained];
    return json(response, { data: [...all, ...pictures] });
  }
  if (path === '/api/inspect') return inspect(state, request, response);
  if (path === '/api/prompts')
    return json(response, { data: [{ name: 'greet', latest: 3, description: 'Greets somebody.' }] });
  if (path === '/api/prompts/greet') return json(response, { definition: { text: 'Dear {{who}},' } });
  if (path === '/api/prompt-render') {
    const { prompt, values } = JSON.parse((await read(request)).toString()) as {
      prompt: string;
      values: { who?: string };
    };
    if (values.who === 'nobody') return fail(response, 400, 'variable_invalid', `${prompt}: who is nobody`);
    return json(response, { prompt: `Dear ${values.who},`, text: `Dear ${values.who},`, examples: [] });
  }
  if (path === '/api/votes') {
    if (request.method === 'POST') state.votes.push(JSON.parse((await read(request)).toString()) as Ballot);
    if (request.method === 'DELETE') state.votes.length = 0;
    const table = tallyVotes(state.votes.map(({ a, b, ...vote }) => ({ ...vote, a: a.name, b: b.name })));
    return json(response, { data: [], total: state.votes.length, table });
  }
  if (path === '/api/presets') return json(response, { data: [...PRESETS, ...IMAGE_PRESETS] });
  const image = /^\/v1\/images\/(\w+)$/.exec(path);
  if (image !== null) return pictures(state, image[1] as string, request, response);
  const sheet = /^\/api\/trainings\/[^/]+\/samples\/(\d+)$/.exec(path);
  if (sheet !== null) {
    response.writeHead(200, { 'content-type': 'image/png' });
    response.end(await sheetOf(Number(sheet[1])));
    return;
  }
  if (path === '/api/files' && request.method === 'POST') {
    const bytes = (await read(request)).length;
    const name = url.searchParams.get('name') ?? 'file';
    if (name.endsWith('.png')) {
      return fail(response, 422, 'data_binary', `${name} is not text.`, 'Choose a text file in UTF-8.');
    }
    const file = { id: `file-${state.files.length + 1}`, name, bytes, created: 1_763_900_100 };
    state.files.push(file);
    return json(response, file);
  }
  if (path === '/api/files') return json(response, { data: state.files });
  if (path === '/api/trainings' && request.method === 'POST') {
    const body = JSON.parse((await read(request)).toString()) as {
      name: string;
      preset?: string;
      steps?: number;
      from?: string;
    };
    const pictured = [...IMAGE_PRESETS, ...PICTURE_MODELS].some(
      ({ id }) => id === (body.from ?? body.preset),
    );
    if (body.from !== undefined) state.requests.push(body);
    if (state.trainings.some((each) => each.name === body.name)) {
      return fail(
        response,
        409,
        'name_taken',
        `A model named ${body.name} exists already.`,
        'Choose another name.',
      );
    }
    const job = new FixtureTraining(
      `job-${state.trainings.length + 1}`,
      body.name,
      body.preset ?? 'own',
      body.steps ?? 400,
      body.from === undefined ? undefined : { base: body.from, model: body.name },
      pictured ? 'image' : undefined,
    );
    state.trainings.push(job);
    return json(response, job.status());
  }
  if (path === '/api/trainings')
    return json(response, { data: state.trainings.map((each) => each.status()) });
  if (training !== null) {
    const job = state.trainings.find((each) => each.id === training[1]);
    if (job === undefined) return fail(response, 404, 'training_missing', 'No such training.');
    if (training[2] === '/events') return job.stream(response);
    if (training[2] === '/stop') job.end('cancelled');
    return json(response, job.status(true));
  }
  return fail(response, 404, 'route_missing', `Nothing at ${path}.`);
}

const COOKIE = 'inkstone_session=fixture';
const loggedIn = (request: IncomingMessage): boolean => request.headers.cookie?.includes(COOKIE) === true;

/** The log-in: a key once, a cookie for it, a token for changes. */
async function session(state: FixtureServer, request: IncomingMessage, response: ServerResponse) {
  const { key } = state.behaviour;
  if (request.method === 'POST') {
    const given = JSON.parse((await read(request)).toString()) as { key: string };
    if (given.key !== key) return fail(response, 401, 'invalid_api_key', 'This key is not known.');
    response.setHeader('set-cookie', `${COOKIE}; Path=/; HttpOnly; SameSite=Strict`);
    return json(response, { needed: true, csrf: 'token' });
  }
  return json(response, { needed: key !== undefined, ...(loggedIn(request) ? { csrf: 'token' } : {}) });
}

/** Files looked through, and fine-tuning jobs. */
async function handleTuning(
  state: FixtureServer,
  { pathname, searchParams }: URL,
  request: IncomingMessage,
): Promise<object | undefined> {
  const checked = /^\/api\/files\/([^/]+)\/check$/.exec(pathname);
  if (checked !== null) {
    const file = state.files.find(({ id }) => id === checked[1]);
    return checkOf(file?.name ?? '', file?.bytes ?? 0, searchParams.get('model') ?? '');
  }
  if (pathname === '/v1/fine_tuning/jobs' && request.method === 'POST') {
    const body = JSON.parse((await read(request)).toString()) as { model: string; suffix: string };
    state.requests.push(body);
    const id = `ftjob-${state.trainings.length + 1}`;
    const tune = { base: body.model, model: `ft:${body.model}:inkstone:${body.suffix}:0a1b2c3d` };
    state.trainings.push(
      new FixtureTraining(id, `ft-${body.model}-0a1b2c3d`, 'chat', state.behaviour.steps ?? 400, tune),
    );
    return { id, object: 'fine_tuning.job', status: 'running' };
  }
  const events = /^\/v1\/fine_tuning\/jobs\/([^/]+)\/events$/.exec(pathname);
  const job = state.trainings.find(({ id }) => id === events?.[1]);
  if (job === undefined) return undefined;
  const metrics = job.events.filter(({ type }) => type === 'metrics');
  return { object: 'list', data: eventsOf(job.id, job.state, metrics), has_more: false };
}

async function pictures(
  state: FixtureServer,
  route: string,
  request: IncomingMessage,
  response: ServerResponse,
) {
  const { body, answer } = await pictured(route, await read(request), request);
  state.requests.push(body);
  const refused = refusal(state.behaviour, response);
  if (!refused) json(response, answer);
}

/** Answers as the behaviour says where it says so: still loading, or an error. */
function refusal(behaviour: Behaviour, response: ServerResponse): boolean {
  if (behaviour.loadingFor > 0) {
    behaviour.loadingFor -= 1;
    response.setHeader('retry-after', '0.3');
    const error = {
      message: 'starter is being loaded.',
      type: 'server_error',
      param: null,
      code: 'model_loading',
    };
    json(response, { error: { ...error, progress: 1 / (behaviour.loadingFor + 2) } }, 503);
    return true;
  }
  if (behaviour.error === undefined) return false;
  const { status, code, message, hint } = behaviour.error;
  fail(response, status, code, message, hint);
  return true;
}

async function inspect(state: FixtureServer, request: IncomingMessage, response: ServerResponse) {
  const body = JSON.parse((await read(request)).toString()) as Parameters<typeof inspection>[0];
  state.requests.push(body as unknown as Record<string, unknown>);
  if (body.attention === true && body.text.length > 600) {
    const message = 'the text has 300 tokens, 256 are looked at';
    return fail(response, 400, 'text_too_long', message, 'shorten it, or ask for no attention');
  }
  return json(response, inspection(body));
}

async function generation(
  state: FixtureServer,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
) {
  const body = JSON.parse((await read(request)).toString()) as Record<string, unknown>;
  state.requests.push(body);
  const { behaviour } = state;
  if (refusal(behaviour, response)) return;
  const chat = path.includes('chat');
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const chunk = (choice: object | undefined, rest: object = {}) =>
    response.write(
      `data: ${JSON.stringify({ id: 'x', choices: choice === undefined ? [] : [choice], ...rest })}\n\n`,
    );
  let open = true;
  let ended = false;
  response.on('close', () => {
    open = false;
    if (!ended) state.hungUp += 1;
  });
  if (chat) chunk({ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null });
  const count = Number(body.max_tokens ?? 16);
  const wanted = body.logprobs !== undefined;
  for (let index = 0; index < count && open; index += 1) {
    if (index === behaviour.breakAfter) {
      const error = {
        message: 'The replica ended unexpectedly.',
        type: 'server_error',
        param: null,
        code: 'replica_failed',
      };
      response.write(`data: ${JSON.stringify({ error })}\n\n`);
      ended = true;
      return response.end();
    }
    const token = TEXT[index % TEXT.length] as string;
    chunk({ index: 0, finish_reason: null, ...piece(chat, token, index, wanted) });
    if (behaviour.pause > 0) await new Promise((resolve) => setTimeout(resolve, behaviour.pause));
  }
  if (!open) return;
  chunk({ index: 0, finish_reason: 'length', ...(chat ? { delta: {} } : { text: '' }) });
  chunk(undefined, { usage: { prompt_tokens: 5, completion_tokens: count, total_tokens: count + 5 } });
  ended = true;
  response.end('data: [DONE]\n\n');
}

function piece(chat: boolean, token: string, index: number, wanted: boolean): object {
  // Repeatable and spread over all levels.
  const probability = [0.97, 0.82, 0.55, 0.9, 0.21, 0.99, 0.08, 0.66, 0.93, 0.015][
    (index * 7) % 10
  ] as number;
  const others = ['e', ' ', 'th', '\n'].filter((other) => other !== token);
  const top = [
    { token, logprob: Math.log(probability) },
    ...others.map((other, at) => ({ token: other, logprob: Math.log(((1 - probability) * 0.5) / 2 ** at) })),
  ];
  const logprob = Math.log(probability);
  if (chat) {
    const content = [
      {
        token,
        logprob,
        bytes: [...Buffer.from(token)],
        top_logprobs: top.map((each) => ({ ...each, bytes: [] })),
      },
    ];
    return { delta: { content: token }, ...(wanted ? { logprobs: { content } } : {}) };
  }
  const legacy = {
    tokens: [token],
    token_logprobs: [logprob],
    top_logprobs: [Object.fromEntries(top.map((each) => [each.token, each.logprob]))],
    text_offset: [0],
  };
  return { text: token, logprobs: wanted ? legacy : null };
}

function serveFile(folder: string, path: string, response: ServerResponse) {
  const file = join(folder, normalize(path === '/' ? '/index.html' : path));
  if (!file.startsWith(folder) || !existsSync(file) || !statSync(file).isFile())
    return fail(response, 404, 'missing', path);
  response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' });
  createReadStream(file).pipe(response);
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function json(response: ServerResponse, value: unknown, status = 200) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

function fail(response: ServerResponse, status: number, code: string, message: string, hint?: string) {
  json(
    response,
    {
      error: {
        message,
        type: 'invalid_request_error',
        param: null,
        code,
        ...(hint === undefined ? {} : { hint }),
      },
    },
    status,
  );
}
