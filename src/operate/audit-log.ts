/**
 * Who did what, in a file that only grows: each line carries the hash of the one before, so that a line that was changed,
 * taken out or put in breaks the chain. Whoever can write the whole file can write a new one; keep the last hash elsewhere
 * and compare. Several processes may write.
 */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { InkstoneError } from '../base/errors.ts';
import { withLock } from '../base/file-lock.ts';
import { exists, facts, makeFolder, openFile, readStream, timestamp } from '../base/host.ts';

export interface AuditEvent {
  /** Id of a key, or `cli`, `server`, `open` (no key is needed here). */
  actor: string;
  /** `key.create`, `session.refused`, `DELETE /v1/files/:id`. */
  action: string;
  target?: string | undefined;
  details?: Readonly<Record<string, unknown>>;
}

export interface AuditEntry extends AuditEvent {
  sequence: number;
  time: string;
  previous: string;
  hash: string;
}

export interface AuditCheck {
  entries: number;
  /** Lines that are none: cut short by a power cut. */
  torn: number;
  /** Hash of the last line. */
  head: string;
}

/** The last entry of a file, and whether what stands behind it is a line that was cut short. */
interface Tail {
  entry: Pick<AuditEntry, 'sequence' | 'hash'>;
  cut: boolean;
}

const GENESIS = '0'.repeat(64);
/** Bytes of one line at most, and so of what is read to find the last. */
const LONGEST = 65_536;

export function hashOfEntry({ hash: _, ...entry }: AuditEntry): string {
  return createHash('sha256').update(JSON.stringify(entry)).digest('hex');
}

export class AuditLog {
  readonly file: string;
  private last: Promise<unknown> = Promise.resolve();
  /** What this process wrote last, and the file as it was then: while nobody else wrote, its end need not be read. */
  private own: { tail: Tail; size: number; modified: number } | undefined;

  constructor(home: string) {
    this.file = path.join(home, 'audit.jsonl');
  }

  /** Returns when the line is on the disk. */
  append(event: AuditEvent): Promise<AuditEntry> {
    const written = this.last.then(() => this.write(event));
    this.last = written.catch(() => undefined);
    return written;
  }

  private async write({ actor, action, target, details }: AuditEvent): Promise<AuditEntry> {
    await makeFolder(path.dirname(this.file));
    return withLock(`${this.file}.lock`, async () => {
      const before = await this.tail();
      const entry = {
        sequence: (before?.entry.sequence ?? 0) + 1,
        time: timestamp(),
        ...{ actor, action },
        ...(target === undefined ? {} : { target: target.slice(0, 500) }),
        ...(details === undefined ? {} : { details }),
        previous: before?.entry.hash ?? GENESIS,
      };
      const whole: AuditEntry = { ...entry, hash: hashOfEntry({ ...entry, hash: '' }) };
      const out = await openFile(this.file, 'append');
      try {
        // A line that a power cut left half written ends here.
        const text = `${before?.cut === true ? '\n' : ''}${JSON.stringify(whole)}\n`;
        await out.write(Buffer.from(text));
        await out.sync();
      } finally {
        await out.close();
      }
      const { sequence, hash } = whole;
      const seen = await facts(this.file);
      this.own = seen && { ...seen, tail: { entry: { sequence, hash }, cut: false } };
      return whole;
    });
  }

  private async tail(): Promise<Tail | undefined> {
    const seen = await facts(this.file);
    if (seen === undefined) return undefined;
    const { own } = this;
    if (own?.size === seen.size && own.modified === seen.modified) return own.tail;
    const file = await openFile(this.file, 'read');
    try {
      const bytes = new Uint8Array(Math.min(file.size, 2 * LONGEST));
      await file.read(bytes, file.size - bytes.length);
      const lines = Buffer.from(bytes).toString('utf8').split('\n');
      const cut = lines.at(-1) !== '';
      for (const line of lines.reverse()) {
        const entry = parsed(line);
        if (entry !== undefined) return { entry, cut };
      }
      return undefined;
    } finally {
      await file.close();
    }
  }

  /** In the order they were written. Lines that are no entries come as undefined. */
  async *entries(): AsyncGenerator<AuditEntry | undefined> {
    if (!(await exists(this.file))) return;
    let pending = '';
    const decoder = new TextDecoder();
    for await (const piece of readStream(this.file)) {
      const lines = (pending + decoder.decode(piece as Uint8Array, { stream: true })).split('\n');
      pending = lines.pop() ?? '';
      for (const line of lines) yield parsed(line);
    }
    if (pending !== '') yield parsed(pending);
  }

  /** @param head the last hash as it is known elsewhere. @throws InkstoneError `audit_broken` naming the first line that does not fit */
  async verify(head?: string): Promise<AuditCheck> {
    let previous = GENESIS;
    let line = 0;
    let sequence = 0;
    let torn = 0;
    let found = head === undefined || head === GENESIS;
    for await (const entry of this.entries()) {
      line++;
      if (entry === undefined) {
        torn++;
        continue;
      }
      const fits =
        entry.previous === previous && entry.sequence === sequence + 1 && entry.hash === hashOfEntry(entry);
      if (!fits) throw broken(`line ${line} does not follow from the one before`, { line });
      previous = entry.hash;
      sequence = entry.sequence;
      found ||= entry.hash === head;
    }
    if (!found) throw broken('the hash that was kept elsewhere is not in it: lines are missing', { head });
    return { entries: sequence, torn, head: previous };
  }
}

function broken(what: string, details: Record<string, unknown>): InkstoneError {
  return new InkstoneError('audit_broken', `the audit log was changed: ${what}`, { kind: 'data', details });
}

function parsed(line: string): AuditEntry | undefined {
  try {
    const entry = JSON.parse(line) as AuditEntry;
    return typeof entry?.hash === 'string' && typeof entry.sequence === 'number' ? entry : undefined;
  } catch {
    return undefined;
  }
}
