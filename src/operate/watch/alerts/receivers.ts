/**
 * Ways to tell people: a webhook in Alertmanager's form (version 4), which most tools read, and e-mail. One that fails is tried
 * again and then left, with a word in the log: the server must not hang on its messenger.
 */
import { z } from 'zod';
import { InkstoneError } from '../../../base/errors.ts';
import { timestamp } from '../../../base/host.ts';
import type { Notification } from './notify.ts';
import type { AlertState } from './state.ts';

const severities = z.array(z.enum(['page', 'ticket'])).default(['page', 'ticket']);

export const receiver = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('webhook'),
    url: z.url({ protocol: /^https?$/ }),
    /** Sent with each call, a token for instance. */
    headers: z.record(z.string(), z.string()).default({}),
    severities,
  }),
  z.strictObject({
    type: z.literal('email'),
    host: z.string().min(1),
    port: z.int().min(1).max(65_535).default(587),
    /** TLS from the first byte (port 465); else STARTTLS where the server has it. */
    secure: z.boolean().default(false),
    user: z.string().optional(),
    password: z.string().optional(),
    from: z.email(),
    to: z.array(z.email()).min(1),
    severities,
  }),
]);
export type Receiver = z.infer<typeof receiver>;

const TIMEOUT = 10_000;
const TRIES = 3;

const alertObject = ({ rule, severity, summary, hint, state, fired, ended, value }: AlertState): object => ({
  status: state === 'resolved' ? 'resolved' : 'firing',
  labels: { alertname: rule, severity, job: 'inkstone' },
  annotations: { summary, description: hint, ...(Number.isFinite(value) ? { value: String(value) } : {}) },
  startsAt: timestamp(fired ?? 0),
  endsAt: ended === undefined ? '0001-01-01T00:00:00Z' : timestamp(ended),
  generatorURL: '',
  fingerprint: rule,
});

/** Alertmanager's webhook body, version 4. */
export function webhookBody({ severity, status, firing, resolved }: Notification): object {
  return {
    version: '4',
    groupKey: `{severity="${severity}"}`,
    truncatedAlerts: 0,
    ...{
      status,
      receiver: 'inkstone',
      groupLabels: { severity },
      commonLabels: { severity, job: 'inkstone' },
    },
    ...{ commonAnnotations: {}, externalURL: '' },
    alerts: [...firing, ...resolved].map(alertObject),
  };
}

export function emailOf({ severity, status, firing, resolved }: Notification): {
  subject: string;
  text: string;
} {
  const names = (firing.length > 0 ? firing : resolved).map(({ rule }) => rule).join(', ');
  const line = ({ rule, summary, hint, value, fired }: AlertState): string =>
    `${rule}: ${summary}${Number.isFinite(value) ? ` (${Number(value.toPrecision(4))})` : ''}\n  since ${timestamp(fired ?? 0)}\n  ${hint}`;
  const part = (title: string, states: readonly AlertState[]): string[] =>
    states.length === 0 ? [] : [`${title}\n\n${states.map(line).join('\n\n')}`];
  return {
    // A header has one line, whatever a name holds.
    subject: `[${status === 'firing' ? severity.toUpperCase() : 'RESOLVED'}] Inkstone: ${names}`.replace(
      /[\r\n]+/g,
      ' ',
    ),
    text: `${[...part('Firing', firing), ...part('Over', resolved)].join('\n\n')}\n`,
  };
}

async function post(url: string, headers: Record<string, string>, body: object): Promise<void> {
  const response = await fetch(url, {
    ...{ method: 'POST', redirect: 'error', signal: AbortSignal.timeout(TIMEOUT) },
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  await response.arrayBuffer();
  if (!response.ok)
    throw new InkstoneError('receiver_refused', `the receiver answered ${response.status}`, {
      kind: 'resource',
    });
}

async function mail(to: Extract<Receiver, { type: 'email' }>, notification: Notification): Promise<void> {
  // Loaded by whoever sends mail.
  const { createTransport } = await import('nodemailer');
  const { host, port, secure, user, password } = to;
  const transport = createTransport({
    ...{ host, port, secure, connectionTimeout: TIMEOUT, greetingTimeout: TIMEOUT, socketTimeout: TIMEOUT },
    ...(user === undefined ? {} : { auth: { user, pass: password ?? '' } }),
    // Nothing is read from disk or fetched for a message.
    ...{ disableFileAccess: true, disableUrlAccess: true },
  });
  try {
    await transport.sendMail({ from: to.from, to: to.to, ...emailOf(notification) });
  } finally {
    transport.close();
  }
}

/** Tries three times. @throws InkstoneError `receiver_failed` */
export async function tell(to: Receiver, notification: Notification, pause = 1000): Promise<void> {
  if (!to.severities.includes(notification.severity)) return;
  let last: unknown;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    try {
      if (to.type === 'webhook') await post(to.url, to.headers, webhookBody(notification));
      else await mail(to, notification);
      return;
    } catch (thrown) {
      last = thrown;
      if (attempt < TRIES - 1) await new Promise((resolve) => setTimeout(resolve, pause * 2 ** attempt));
    }
  }
  throw new InkstoneError('receiver_failed', `nobody could be told by ${to.type}`, {
    kind: 'resource',
    cause: last,
  });
}
