/** Where a model is pulled from, as people write it, and which file names are taken from elsewhere. Fetches nothing. */
import { InkstoneError } from '../../base/errors.ts';

export type PullSource =
  | { kind: 'hub'; repository: string; revision: string; file: string | undefined }
  | { kind: 'url'; url: URL }
  | { kind: 'path'; path: string };

function invalid(what: string, hint: string): InkstoneError {
  return new InkstoneError('source_invalid', what, { kind: 'usage', hint, details: { param: 'source' } });
}

const HINT = 'write hf:owner/name, hf:owner/name@revision/file.gguf, an https address, or a folder';
const PART = /^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$/;

/** @throws InkstoneError `source_invalid`, `path_unsafe` */
export function parseSource(given: string): PullSource {
  if (/^hf:/i.test(given)) {
    const pattern = /^hf:(?:\/\/)?([^/@]+)\/([^/@]+)(?:@([^/]+))?(?:\/(.+))?$/i;
    const [, owner = '', name = '', revision = 'main', file] = pattern.exec(given) ?? [];
    if (!PART.test(owner) || !PART.test(name) || !PART.test(revision))
      throw invalid(`"${given}" names no model of a hub`, HINT);
    return {
      kind: 'hub',
      repository: `${owner}/${name}`,
      revision,
      file: file === undefined ? undefined : safePath(file),
    };
  }
  if (/^https?:\/\//i.test(given)) {
    if (!URL.canParse(given)) throw invalid(`"${given}" is no address`, HINT);
    const url = new URL(given);
    if (url.username !== '' || url.password !== '')
      throw invalid('an address must not hold a password', 'set INKSTONE_HUB_TOKEN instead');
    return { kind: 'url', url };
  }
  if (/^[a-z][a-z0-9+.-]+:/i.test(given) && !/^[a-z]:[\\/]/i.test(given))
    throw invalid(`"${given}" is of a kind that is not known`, HINT);
  if (given.trim() === '') throw invalid('the source is empty', HINT);
  return { kind: 'path', path: given };
}

/**
 * A name that a hub gave, to be written below a folder of ours.
 * @throws InkstoneError `path_unsafe` for one that could lead elsewhere
 */
export function safePath(given: string): string {
  const parts = given.split('/');
  const bad =
    given.length === 0 ||
    given.length > 512 ||
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    /[\\\u0000-\u001f:*?"<>|]/.test(given) ||
    parts.length > 8 ||
    parts.some(
      (part) => part === '' || part === '.' || part === '..' || /[. ]$/.test(part) || part.length > 200,
    ) ||
    parts.some((part) => /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(part));
  if (!bad) return given;
  throw new InkstoneError(
    'path_unsafe',
    `the file name ${JSON.stringify(given.slice(0, 120))} is not taken`,
    {
      kind: 'data',
      hint: 'such a name could lead out of the model’s folder; do not trust this source',
    },
  );
}
