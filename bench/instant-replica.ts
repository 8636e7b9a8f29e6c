/** A server without a model that answers every chat at once, as a process of its own: what is measured is what stands before it. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { writeOut } from '../src/base/host.ts';

const ANSWER = JSON.stringify({
  ...{ id: 'chatcmpl-1', object: 'chat.completion', created: 1, model: 'instant' },
  choices: [
    {
      ...{ index: 0, finish_reason: 'stop', logprobs: null },
      message: { role: 'assistant', content: 'There are mountains, rivers and ink.', refusal: null },
    },
  ],
  usage: { prompt_tokens: 200, completion_tokens: 8, total_tokens: 208 },
});
const MODELS = JSON.stringify({ object: 'list', data: [{ id: 'instant', object: 'model' }] });

const server = http.createServer({ keepAliveTimeout: 60_000 }, (request, reply) => {
  request.on('end', () => {
    const text = request.url === '/v1/models' ? MODELS : ANSWER;
    reply.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
    reply.end(text);
  });
  request.resume();
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  writeOut(`${JSON.stringify({ address: `http://127.0.0.1:${port}` })}\n`);
});
