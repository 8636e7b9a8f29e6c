/**
 * What the processes of a server take, seen from outside: by part (server, models, embedded database, others), and what each
 * part's JavaScript still holds after a whole collection, as the server tells in `/metrics`. Judges nothing.
 */
import { childrenOf, commandOf, openHandles } from '../base/host-process.ts';
import { processUse } from '../base/machine.ts';
import { METRICS } from '../operate/watch/definitions.ts';

/** Of one part: all its processes together. */
export interface PartUse {
  /** Bytes. */
  resident: number;
  /** Open files, sockets and pipes. */
  handles: number;
}

/** What the command line of a process says of its part. */
const PARTS: readonly [RegExp, string][] = [
  [/operate\/host-process/, 'models'],
  [/sql\/pglite-process/, 'store'],
];

const partOf = (id: number): string => {
  const command = commandOf(id).join(' ');
  return PARTS.find(([pattern]) => pattern.test(command))?.[1] ?? 'others';
};

/**
 * Of a server and all processes below it, and of the embedded database, whoever started that.
 * @returns nothing where this system does not tell
 */
export function useOf(server: number, database?: number): Record<string, PartUse> {
  const found: Record<string, PartUse> = {};
  const below = childrenOf(server).flatMap((child) => [child, ...childrenOf(child)]);
  for (const id of new Set([server, ...below, ...(database === undefined ? [] : [database])])) {
    const use = processUse(id);
    const handles = openHandles(id);
    // It has ended between two looks.
    if (use === undefined || handles === undefined) continue;
    const part = id === server ? 'server' : partOf(id);
    const before = found[part] ?? { resident: 0, handles: 0 };
    found[part] = { resident: before.resident + use.resident, handles: before.handles + handles };
  }
  return found;
}

/** Bytes by part, of those that were collected as a whole by now; nothing where the server does not answer. */
export async function heldOf(address: string, key: string): Promise<Record<string, number>> {
  const text = await fetch(`${address}/metrics`, {
    headers: { authorization: `Bearer ${key}` },
    signal: AbortSignal.timeout(5000),
  }).then(
    (answer) => (answer.ok ? answer.text() : ''),
    () => '',
  );
  const found: Record<string, number> = {};
  for (const [, kind, value] of text.matchAll(LINE)) found[kind as string] = Number(value);
  return found;
}

const LINE = new RegExp(`^${METRICS.held.name}\\{kind="(\\w+)"\\} (\\S+)$`, 'gm');
