/** The chain holds, and each way of changing the file is found. */
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AuditLog, hashOfEntry } from './audit-log.ts';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-audit-'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function five(): Promise<{ log: AuditLog; lines: string[] }> {
  const log = new AuditLog(home);
  const other = new AuditLog(home);
  // Two writers, as the server and the command line are.
  await Promise.all(
    [1, 2, 3, 4, 5].map((n) => (n % 2 ? log : other).append({ actor: 'cli', action: `act ${n}` })),
  );
  return { log, lines: (await readFile(log.file, 'utf8')).trimEnd().split('\n') };
}
const write = (log: AuditLog, lines: readonly string[]): Promise<void> =>
  writeFile(log.file, lines.map((line) => `${line}\n`).join(''));

describe('the audit log', () => {
  it('is whole after two writers', async () => {
    const { log, lines } = await five();
    expect(lines).toHaveLength(5);
    const { head, ...check } = await log.verify();
    expect(check).toEqual({ entries: 5, torn: 0 });
    expect(JSON.parse(lines[4] as string).hash).toBe(head);
    expect(await new AuditLog(path.join(home, 'none')).verify()).toEqual({
      entries: 0,
      torn: 0,
      head: '0'.repeat(64),
    });
  });

  it.each<[string, (lines: string[]) => string[]]>([
    ['a changed line', (l) => l.map((line, i) => (i === 2 ? line.replace('act', 'ACT') : line))],
    [
      'a line with a fitting hash of its own',
      (l) =>
        l.map((line, i) => {
          if (i !== 2) return line;
          const entry = { ...JSON.parse(line), actor: 'nobody' };
          return JSON.stringify({ ...entry, hash: hashOfEntry(entry) });
        }),
    ],
    ['a missing line', (l) => l.toSpliced(2, 1)],
    ['a missing first line', (l) => l.slice(1)],
    ['lines in another order', (l) => [l[0], l[2], l[1], l[3], l[4]] as string[]],
    ['a line twice', (l) => l.toSpliced(2, 0, l[2] as string)],
    ['a line made unreadable', (l) => l.map((line, i) => (i === 2 ? 'x' : line))],
  ])('gives away %s', async (_, change) => {
    const { log, lines } = await five();
    await write(log, change(lines));
    await expect(log.verify()).rejects.toMatchObject({ code: 'audit_broken' });
  });

  it('gives away a missing end to whoever kept the hash', async () => {
    const { log, lines } = await five();
    const { head } = await log.verify();
    await write(log, lines.slice(0, 4));
    expect((await log.verify()).entries).toBe(4);
    await expect(log.verify(head)).rejects.toMatchObject({ code: 'audit_broken' });
  });

  it('goes on from the end as it is, whoever wrote or shortened it meanwhile', async () => {
    const { log, lines } = await five();
    const other = new AuditLog(home);
    for (const writer of [log, log, other, log, other])
      await writer.append({ actor: 'cli', action: 'by turns' });
    expect(await log.verify()).toMatchObject({ entries: 10, torn: 0 });
    // Put back from a copy, as an operator does.
    await write(log, lines.slice(0, 3));
    await log.append({ actor: 'cli', action: 'after' });
    expect(await log.verify()).toMatchObject({ entries: 4, torn: 0 });
  });

  it('goes on behind a line that a power cut left half written', async () => {
    const { log } = await five();
    await appendFile(log.file, '{"sequence":6,"ti');
    await log.append({ actor: 'cli', action: 'after' });
    expect(await log.verify()).toMatchObject({ entries: 6, torn: 1 });
  });
});
