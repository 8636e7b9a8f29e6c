/** Clients that hang up, read slowly or not at all, over real sockets: their places go to others, and nobody waits. */
import net from 'node:net';
import { describe, expect, it } from 'vitest';
import type { RunningServer } from '../../src/serve/index.ts';
import { LetterReplica } from '../../src/serve/testing.ts';
import { until, wireHome } from './harness.ts';

const home = wireHome(['letters']);
const messages = [{ role: 'user' as const, content: 'say' }];

/** Asks over a socket of its own and reads nothing. */
async function deaf(server: RunningServer, route: string, body: object): Promise<net.Socket> {
  const text = JSON.stringify(body);
  const socket = net.connect(Number(new URL(server.address).port), '127.0.0.1');
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  socket.pause();
  socket.on('error', () => undefined);
  socket.write(
    `POST ${route} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
  return socket;
}

describe('a client that reads nothing', () => {
  it.each([
    ['/v1/chat/completions', { messages, logprobs: true, top_logprobs: 2 }],
    ['/v1/completions', { prompt: 'say', logprobs: 2 }],
    ['/v1/responses', { input: 'say', top_logprobs: 2, include: ['message.output_text.logprobs'] }],
  ])('of %s keeps no place and slows nobody', async (route, more) => {
    // More than the system keeps for a socket: whoever waited for this reader would wait for ever.
    const tokens = 20_000;
    const replica = new LetterReplica('letters', { breathe: 100 });
    const { client, server } = await home.start(replica, { concurrency: 1 });
    const limit = { max_tokens: tokens, max_output_tokens: tokens };
    const socket = await deaf(server, route, { model: 'letters', stream: true, seed: 0, ...limit, ...more });
    await until(() => replica.running === 1);
    const answer = await client.chat.completions.create({
      model: 'letters',
      messages,
      max_tokens: 3,
      seed: 0,
    });
    expect(answer.choices[0]?.message.content).toBe('abc');
    expect(replica.finished[0]).toMatch(new RegExp(` length ${tokens}$`));
    expect(server.context.generation.queue.status().running).toBe(0);
    // What it did not read is still there for it.
    let read = '';
    socket.on('data', (piece) => (read += String(piece)));
    socket.resume();
    await until(() => read.includes('[DONE]'));
    expect(read.match(/^data: /gm)?.length).toBeGreaterThan(tokens);
    socket.destroy();
  });

  it('and hangs up frees its place at once', async () => {
    const replica = new LetterReplica('letters', { pace: 2 });
    const { server } = await home.start(replica, { concurrency: 1 });
    for (const [route, more] of [
      ['/v1/chat/completions', { messages, max_tokens: 100_000, stream: true }],
      ['/v1/chat/completions', { messages, max_tokens: 100_000 }],
      ['/v1/responses', { input: 'say', max_output_tokens: 100_000, stream: true }],
      ['/v1/responses', { input: 'say', max_output_tokens: 100_000 }],
    ] as const) {
      const socket = await deaf(server, route, { model: 'letters', ...more });
      await until(() => replica.running === 1);
      socket.destroy();
      await until(() => replica.running === 0 && server.context.generation.queue.status().running === 0);
    }
    expect(replica.finished.every((line) => line.includes('cancelled'))).toBe(true);
  });
});
