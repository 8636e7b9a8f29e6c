/** What is no HTTP request, in the shape of all errors: too large headers, too slow ones, bytes that make no sense. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { InkstoneError } from '../base/errors.ts';
import { answerOf } from './errors.ts';

const REASONS: Readonly<Record<string, readonly [number, string, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'headers_too_large', 'the headers are larger than this server takes'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'request_timeout', 'the request did not come in time'],
};

/** Answers once and closes: nobody knows where the next request would begin. */
export function clientErrorHandler(error: { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const [httpStatus, code, message] = REASONS[error.code ?? ''] ?? [
    400,
    'request_malformed',
    'this is no HTTP request',
  ];
  const { body } = answerOf(new InkstoneError(code, message, { kind: 'usage', details: { httpStatus } }));
  const text = JSON.stringify(body);
  const head = [
    `HTTP/1.1 ${httpStatus} ${httpStatus === 408 ? 'Request Timeout' : httpStatus === 431 ? 'Request Header Fields Too Large' : 'Bad Request'}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(text)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${text}`, () => socket.destroy());
}

/** An `Expect` that is not `100-continue`. */
export function refuseExpectation(_: IncomingMessage, response: ServerResponse): void {
  const { body } = answerOf(
    new InkstoneError('expectation_unknown', 'this expectation cannot be met', {
      kind: 'usage',
      details: { httpStatus: 417 },
    }),
  );
  response.writeHead(417, { 'content-type': 'application/json; charset=utf-8', connection: 'close' });
  response.end(JSON.stringify(body));
}
