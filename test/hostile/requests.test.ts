/** Hostile requests over a real socket. Each test fails on the naive server: docs/security.md says which line of it this is. */
import { access, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Fastify from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addPatience, isDeeper } from '../../src/serve/intake.ts';
import { LetterReplica, ScriptedReplica } from '../../src/serve/testing.ts';
import { type Asked, wireHome } from '../wire/harness.ts';

const home = wireHome(['letters']);
const say = { model: 'letters', messages: [{ role: 'user', content: 'say' }], seed: 0, max_tokens: 5 };
const codeOf = ({ body }: Asked): string => (body as { error: { code: string } }).error.code;

/** A target as it is written: fetch would tidy `..` away. */
function raw(address: string, method: string, target: string): Promise<{ status: number; text: string }> {
  const { port } = new URL(address);
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path: target, method }, (response) => {
      let text = '';
      response.on('data', (piece) => (text += String(piece)));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.on('error', reject);
    request.end();
  });
}

let outside = '';
beforeAll(async () => {
  outside = await mkdtemp(path.join(tmpdir(), 'inkstone-outside-'));
  await writeFile(path.join(outside, 'secret.txt'), 'the secret');
});
afterAll(() => rm(outside, { recursive: true, force: true }));

describe('paths', () => {
  it('lead nowhere but to what is served, however they are spelled', async () => {
    const { server } = await home.start(new LetterReplica('letters'));
    const up = '../'.repeat(12);
    const secret = `${outside}/secret.txt`.slice(1);
    for (const start of [
      '/',
      '/assets/',
      '/v1/models/',
      '/v1/files/',
      '/v1/responses/',
      '/api/trainings/',
      '/api/prompts/',
    ])
      for (const spelled of [
        up + secret,
        encodeURIComponent(up + secret),
        (up + secret).replaceAll('/', '\\'),
        (up + secret).replaceAll('../', '%2e%2e/'),
        (up + secret).replaceAll('../', '..%5c'),
        (up + secret).replaceAll('../', '%252e%252e%252f'),
        `${secret}%00.json`,
      ])
        for (const method of ['GET', 'DELETE']) {
          const { status, text } = await raw(server.address, method, start + spelled);
          expect([start, spelled, text.includes('the secret')]).toEqual([start, spelled, false]);
          expect(status).toBeGreaterThanOrEqual(400);
          expect(status).toBeLessThan(500);
        }
    await access(path.join(outside, 'secret.txt'));
  });

  it('in the names of uploads stay in their folder: dots, backslashes, nulls, drives', async () => {
    const { server } = await home.start(new LetterReplica('letters'));
    const before = await readdir(home.folder);
    for (const name of [
      '../../escaped',
      '..\\..\\escaped',
      '/etc/escaped',
      'C:\\escaped',
      '....//escaped',
      '.bashrc',
      'a\u0000b',
      '..',
    ]) {
      const form = new FormData();
      form.append('purpose', 'fine-tune');
      form.append('file', new Blob(['x']), name);
      const response = await fetch(`${server.address}/v1/files`, { method: 'POST', body: form });
      expect([name, response.status]).toEqual([name, 200]);
      const { filename, id } = (await response.json()) as { filename: string; id: string };
      expect(filename).not.toMatch(/[/\\\0]|^\./);
      expect(await readdir(path.join(home.folder, 'files', id))).toEqual([filename]);
    }
    expect(
      (await readdir(home.folder)).filter(
        (name) => name !== 'files' && !name.startsWith('audit.jsonl') && !before.includes(name),
      ),
    ).toEqual([]);
  });

  it('in digests and ids of rows are no paths', async () => {
    const { server } = await home.start(new LetterReplica('letters'));
    const { objects, rows } = server.context.store;
    for (const digest of ['../../secret', 'sha256:../..', `${'a'.repeat(62)}/.`, 'A'.repeat(64), '']) {
      await expect((async () => objects.has(digest))()).rejects.toMatchObject({ code: 'object_missing' });
      await expect((async () => objects.remove(digest))()).rejects.toMatchObject({ code: 'object_missing' });
    }
    await rows.put('keys', { id: '../../../escaped' });
    expect(await rows.get('keys', '../../../escaped')).toEqual({ id: '../../../escaped' });
    await rows.remove('keys', '../../../escaped');
    await expect(rows.put('../keys', { id: 'a' })).rejects.toMatchObject({ code: 'collection_invalid' });
  });

  it('of models that are links out of the folder are followed by no request that names one', async () => {
    const { server, post } = await home.start(new LetterReplica('letters'));
    await mkdir(path.join(home.folder, 'runs'), { recursive: true });
    await symlink(outside, path.join(home.folder, 'runs', 'link')).catch(() => undefined);
    for (const model of ['link', '../runs/letters', outside, `${outside}/secret.txt`]) {
      const refused = await post('/v1/chat/completions', { ...say, model });
      expect([model, refused.status, codeOf(refused)]).toEqual([model, 404, 'model_not_found']);
    }
    expect(JSON.stringify(await (await fetch(`${server.address}/v1/models`)).json())).not.toContain('secret');
    await rm(path.join(home.folder, 'runs', 'link'), { force: true });
  });
});

describe('addresses in requests', () => {
  it('are fetched by nobody: pictures, files and tools by address are refused', async () => {
    let calls = 0;
    const trap = http.createServer((_, response) => {
      calls++;
      response.end('x');
    });
    await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve));
    const { port } = trap.address() as net.AddressInfo;
    const { post } = await home.start(new LetterReplica('letters'));
    for (const url of [
      `http://127.0.0.1:${port}/`,
      `http://0.0.0.0:${port}/`,
      `http://[::ffff:127.0.0.1]:${port}/`,
      `http://2130706433:${port}/`,
      `http://localhost:${port}/`,
      'file:///etc/passwd',
    ]) {
      const part = [{ type: 'image_url', image_url: { url } }];
      const chat = await post('/v1/chat/completions', {
        ...say,
        messages: [{ role: 'user', content: part }],
      });
      expect(codeOf(chat)).toBe('unsupported_parameter');
      const input = [{ role: 'user', content: [{ type: 'input_image', image_url: url }] }];
      expect((await post('/v1/responses', { model: 'letters', input })).status).toBe(400);
      expect((await post('/v1/images/edits', { model: 'letters', image: url })).status).toBe(415);
    }
    expect(calls).toBe(0);
    trap.close();
  });
});

describe('names that a shell or a command line would take for more', () => {
  it('are refused for trainings, or stay words', async () => {
    const { server, post } = await home.start(new LetterReplica('letters'));
    const form = new FormData();
    form.append('purpose', 'fine-tune');
    form.append('file', new Blob(['some text to train on\n'.repeat(100)]), 'text.txt');
    const { id } = (await (
      await fetch(`${server.address}/v1/files`, { method: 'POST', body: form })
    ).json()) as { id: string };
    const mark = path.join(outside, 'run');
    for (const name of [
      `a;touch ${mark}`,
      `$(touch ${mark})`,
      `\`touch ${mark}\``,
      '--help',
      '-x',
      `a\ntouch ${mark}`,
      '../../x',
      `a|touch ${mark}`,
      '',
    ]) {
      const refused = await post('/api/trainings', { name, preset: 'tiny', file: id, steps: 1 });
      expect([name, refused.status]).toEqual([name, 400]);
    }
    await expect(access(mark)).rejects.toThrow();
  });
});

describe('JSON', () => {
  it('a million brackets deep is refused at once, and does not end the server', async () => {
    const { post, server } = await home.start(new LetterReplica('letters'));
    for (const deep of [
      '['.repeat(1e6),
      `{"a":`.repeat(2e5),
      `{"messages":${'['.repeat(5e5)}${']'.repeat(5e5)}}`,
    ]) {
      const refused = await post('/v1/chat/completions', deep);
      expect([refused.status, codeOf(refused)]).toEqual([400, 'body_too_deep']);
    }
    expect((await fetch(`${server.address}/health`)).status).toBe(200);
    // Brackets in texts are texts.
    expect(
      (
        await post('/v1/chat/completions', {
          ...say,
          messages: [{ role: 'user', content: `${'['.repeat(20)}"]` }],
        })
      ).status,
    ).toBe(200);
    expect(isDeeper('"[[[[\\"[[["', 1)).toBe(false);
    expect(isDeeper('[[]][[]]', 2)).toBe(false);
    expect(isDeeper('[[[]]]', 2)).toBe(true);
  });

  it('larger than a body may be is refused before it is read', async () => {
    const { post } = await home.start(new LetterReplica('letters'), { maxBody: 10_000 });
    const refused = await post('/v1/completions', { model: 'letters', prompt: 'a'.repeat(20_000) });
    expect([refused.status, codeOf(refused)]).toEqual([413, 'body_too_large']);
  });

  it('that would change every object’s prototype does not', async () => {
    const { post } = await home.start(new LetterReplica('letters'));
    for (const body of [
      '{"model":"letters","prompt":"a","__proto__":{"polluted":1}}',
      '{"constructor":{"prototype":{"polluted":1}}}',
    ])
      expect((await post('/v1/completions', body)).status).toBe(400);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  it('packed by gzip is not unpacked: it is no JSON', async () => {
    const { post } = await home.start(new LetterReplica('letters'));
    const refused = await post('/v1/completions', '\u001f\u008b', { 'content-encoding': 'gzip' });
    expect(refused.status).toBe(400);
  });
});

describe('forms', () => {
  it.each([
    [
      'cut within a part',
      'multipart/form-data; boundary=b',
      '--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nab',
    ],
    ['without a boundary', 'multipart/form-data', 'ab'],
    ['with a boundary of 400 characters', `multipart/form-data; boundary=${'b'.repeat(400)}`, 'ab'],
    [
      'whose part has no name',
      'multipart/form-data; boundary=b',
      '--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\nab\r\n--b--\r\n',
    ],
    ['with headers cut', 'multipart/form-data; boundary=b', '--b\r\nContent-Dispo'],
  ])('%s are refused as forms', async (_, type, body) => {
    const { server } = await home.start(new LetterReplica('letters'));
    for (const route of ['/v1/images/edits', '/v1/files']) {
      const response = await fetch(`${server.address}${route}`, {
        method: 'POST',
        body,
        headers: { 'content-type': type },
      });
      expect([route, response.status]).toEqual([route, 400]);
    }
  });
});

describe('patterns', () => {
  it('that make a backtracking matcher run for ages are answered in seconds', async () => {
    const { post } = await home.start(new LetterReplica('letters', { stopAfter: 3 }));
    for (const regex of [
      '(a+)+$',
      '((a|a)*)*b',
      '(.*a){12}',
      '([a-z]+)*[0-9]',
      '(x{1,900}){1,900}',
      '(?:a?){500}a{500}',
      `${'('.repeat(5000)}${')'.repeat(5000)}`,
    ]) {
      const began = performance.now();
      const { status } = await post('/v1/completions', {
        model: 'letters',
        prompt: 'a'.repeat(30),
        max_tokens: 3,
        structured_outputs: { regex },
      });
      expect([200, 400, 422]).toContain(status);
      expect(performance.now() - began).toBeLessThan(15_000);
    }
  });

  it('in a schema are held to the same', async () => {
    const { post } = await home.start(new LetterReplica('letters', { stopAfter: 3 }));
    const schema = {
      type: 'object',
      properties: { a: { type: 'string', pattern: '^(([a-z])+.)+[A-Z]([a-z])+$' } },
      required: ['a'],
    };
    const began = performance.now();
    await post('/v1/chat/completions', {
      ...say,
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema } },
    });
    expect(performance.now() - began).toBeLessThan(15_000);
  });
});

describe('headers and slow senders', () => {
  const speak = (address: string, text: string, wait: number): Promise<string> =>
    new Promise((resolve) => {
      let answer = '';
      const socket = net.connect(Number(new URL(address).port), '127.0.0.1', () => socket.write(text));
      socket.on('data', (piece) => (answer += String(piece)));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(answer));
      setTimeout(() => socket.destroy(), wait).unref();
    });

  it('too large are refused in the shape of all errors', async () => {
    const { server } = await home.start(new LetterReplica('letters'));
    const answer = await speak(
      server.address,
      `GET /health HTTP/1.1\r\nHost: localhost\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`,
      5000,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
    expect(answer).toContain('"code":"headers_too_large"');
  });

  it('with two lengths are no request: nothing can be smuggled behind another', async () => {
    const { server } = await home.start(new LetterReplica('letters'));
    const smuggled = `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    const answer = await speak(server.address, smuggled, 5000);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).not.toContain('"object":"list"');
  });

  it('of a body that never comes to its end are cut off; an upload only when it stands still', async () => {
    const app = Fastify();
    addPatience(app, { whole: 200, stalled: 3000 });
    app.addContentTypeParser('application/octet-stream', (_, payload, done) => done(null, payload));
    app.post('/v1/completions', async () => 'done');
    app.post('/v1/files', async (request) => {
      let size = 0;
      for await (const piece of request.body as AsyncIterable<Buffer>) size += piece.length;
      return size;
    });
    const address = await app.listen({ port: 0, host: '127.0.0.1' });
    const head = (route: string): string =>
      `POST ${route} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/${route === '/v1/files' ? 'octet-stream' : 'json'}\r\nContent-Length: 12\r\nConnection: close\r\n\r\n`;
    const trickle = async (route: string, pieces: number, pace = 100): Promise<string> => {
      let answer = '';
      const socket = net.connect(Number(new URL(address).port), '127.0.0.1');
      const closed = new Promise((resolve) => socket.on('close', resolve));
      socket.on('data', (piece) => (answer += String(piece)));
      socket.on('error', () => undefined);
      socket.write(head(route));
      for (let i = 0; i < pieces && !socket.destroyed; i++) {
        await sleep(pace);
        if (!socket.destroyed) socket.write('a');
      }
      await closed;
      return answer;
    };
    // Twelve bytes in six seconds: a file may take that long, JSON may not; and nothing may stand still.
    expect(await trickle('/v1/files', 12, 500)).toMatch(/\r\n12$/);
    expect(await trickle('/v1/completions', 12)).toBe('');
    expect(await trickle('/v1/files', 3)).toBe('');
    await app.close();
  });
});

describe('keys', () => {
  it('find no beginnings of prompts that another key’s requests left', async () => {
    const replica = new ScriptedReplica('letters', ['hello']);
    const { server } = await home.start(replica);
    const keys = await Promise.all(['one', 'two'].map((name) => server.context.keys.create(name)));
    for (const { key } of keys)
      await fetch(`${server.address}/v1/chat/completions`, {
        ...{
          method: 'POST',
          headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
        },
        body: JSON.stringify(say),
      });
    expect(replica.asked.map(({ tenant }) => tenant)).toEqual(keys.map(({ row }) => row.id));
    for (const { row } of keys) await server.context.keys.revoke(row.id);
  });
});
