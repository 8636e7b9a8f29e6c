/** What the system's file errors mean to a person and a shell. Does not touch any file itself. */
import { type ErrorKind, InkstoneError } from './errors.ts';

const FILE_ERRORS: Record<string, { code: string; kind: ErrorKind; says: string; hint?: string }> = {
  ENOENT: { code: 'file_missing', kind: 'missing', says: 'there is no', hint: 'check the path' },
  EISDIR: { code: 'not_a_file', kind: 'usage', says: 'this is a folder, not a file:' },
  ENOTDIR: { code: 'not_a_folder', kind: 'usage', says: 'a part of this path is not a folder:' },
  EEXIST: { code: 'file_exists', kind: 'conflict', says: 'this exists already:' },
  EACCES: { code: 'file_denied', kind: 'resource', says: 'no permission for', hint: 'check owner and mode' },
  EPERM: { code: 'file_denied', kind: 'resource', says: 'no permission for', hint: 'check owner and mode' },
  EROFS: { code: 'file_denied', kind: 'resource', says: 'read-only file system:' },
  ENOSPC: {
    code: 'disk_full',
    kind: 'resource',
    says: 'the disk is full, at',
    hint: 'free some space and repeat',
  },
  EDQUOT: {
    code: 'disk_full',
    kind: 'resource',
    says: 'the quota is used up, at',
    hint: 'free some space and repeat',
  },
  EMFILE: {
    code: 'files_open',
    kind: 'resource',
    says: 'too many open files, at',
    hint: 'raise `ulimit -n`',
  },
};

/** A system error as an InkstoneError that names the path; others pass through wrapped. */
export function fileError(thrown: unknown, file: string): InkstoneError {
  if (InkstoneError.is(thrown)) return thrown;
  const known = FILE_ERRORS[(thrown as { code?: string } | undefined)?.code ?? ''];
  if (known === undefined) return InkstoneError.from(thrown, 'file_failed');
  const { code, kind, says, hint } = known;
  return new InkstoneError(code, `${says} ${file}`, {
    kind,
    ...(hint === undefined ? {} : { hint }),
    cause: thrown,
    details: { path: file },
  });
}
