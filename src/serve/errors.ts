/** Errors as OpenAI's clients expect them: one shape, the right status, a request id. Knows nothing of routes. */
import type { z } from 'zod';
import { type ErrorKind, InkstoneError } from '../base/errors.ts';

/** OpenAI's types by our kinds. */
const TYPE: Record<ErrorKind, string> = {
  usage: 'invalid_request_error',
  data: 'invalid_request_error',
  missing: 'invalid_request_error',
  conflict: 'invalid_request_error',
  resource: 'server_error',
  limit: 'rate_limit_error',
  denied: 'authentication_error',
  diverged: 'server_error',
  unsupported: 'invalid_request_error',
  internal: 'server_error',
};

export interface WireError {
  error: { message: string; type: string; param: string | null; code: string | null };
}

export interface ErrorAnswer {
  status: number;
  body: WireError;
  headers: Record<string, string>;
}

/** @param thrown anything; what is not ours is told as an internal error without its text */
export function answerOf(thrown: unknown): ErrorAnswer {
  const error = known(thrown);
  const { details, kind, code } = error;
  const hint = error.hint === undefined ? '' : ` (${error.hint})`;
  const headers: Record<string, string> = {};
  if (typeof details.retryAfter === 'number') {
    headers['retry-after'] = String(Math.max(1, Math.ceil(details.retryAfter)));
    headers['retry-after-ms'] = String(Math.round(details.retryAfter * 1000));
  }
  if (details.retry === false) headers['x-should-retry'] = 'false';
  // Clients send a conflict again, and it would be one again.
  if (kind === 'conflict') headers['x-should-retry'] = 'false';
  const status =
    typeof details.httpStatus === 'number'
      ? details.httpStatus
      : kind === 'unsupported'
        ? 400
        : error.httpStatus;
  const type = code === 'insufficient_quota' ? code : status === 403 ? 'permission_error' : TYPE[kind];
  const progress = typeof details.progress === 'number' ? { progress: details.progress } : {};
  return {
    status,
    headers,
    body: {
      error: {
        message: `${error.message}${hint}`,
        type,
        param: (details.param as string | undefined) ?? null,
        code,
        ...progress,
      },
    },
  };
}

function known(thrown: unknown): InkstoneError {
  if (InkstoneError.is(thrown)) return thrown;
  const status = (thrown as { statusCode?: number }).statusCode;
  const code = (thrown as { code?: string }).code;
  if (status === 413)
    return new InkstoneError('body_too_large', 'the request is larger than this server takes', {
      kind: 'usage',
      hint: 'send less, or raise --max-body',
      details: { httpStatus: 413 },
    });
  if (status === 415)
    return new InkstoneError('media_type_unsupported', 'the content type is not known here', {
      kind: 'usage',
      hint: 'send application/json',
      details: { httpStatus: 415 },
    });
  if (status !== undefined && status >= 400 && status < 500)
    return new InkstoneError(
      code === 'FST_ERR_CTP_EMPTY_JSON_BODY' ? 'body_empty' : 'body_invalid',
      (thrown as Error).message,
      { kind: 'usage' },
    );
  // What busboy says of a form that was cut or malformed has no status of its own.
  if (
    thrown instanceof Error &&
    /^(Unexpected end of|(Part|Header) terminated early|Malformed |Multipart: |The needle |Premature close)/.test(
      thrown.message,
    )
  )
    return new InkstoneError('form_invalid', `the form cannot be read: ${thrown.message}`, {
      kind: 'usage',
      hint: 'send whole parts with their boundary',
    });
  return new InkstoneError('internal_error', 'something went wrong inside the server', { cause: thrown });
}

/** @throws InkstoneError `parameter_invalid` naming the parameter */
export function parse<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const read = schema.safeParse(value ?? {});
  if (read.success) return read.data;
  const issue = read.error.issues[0] as z.core.$ZodIssue;
  const param = issue.path.join('.');
  throw new InkstoneError(
    'parameter_invalid',
    `${param === '' ? 'the request' : `'${param}'`}: ${issue.message}`,
    { kind: 'usage', details: { param: param === '' ? undefined : param } },
  );
}
