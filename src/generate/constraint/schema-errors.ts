/** What can be wrong with a schema, worded one way. Knows no schemas. */
import { InkstoneError } from '../../base/errors.ts';

const at = (path: string): string => `the schema at ${path === '' ? '/' : path}`;

/** It says something that no document can be kept to here. */
export const unsupported = (path: string, what: string, hint?: string): InkstoneError =>
  new InkstoneError('schema_unsupported', `${at(path)}: ${what}`, {
    kind: 'unsupported',
    hint: hint ?? 'leave that keyword out, or say it another way',
    details: { path },
  });

/** No document fits it. */
export const unsatisfiable = (path: string, what: string): InkstoneError =>
  new InkstoneError('schema_unsatisfiable', `${at(path)} cannot be met: ${what}`, {
    kind: 'usage',
    hint: 'change the schema so that some document fits it',
    details: { path },
  });

/** It is no JSON Schema. */
export const invalid = (path: string, what: string): InkstoneError =>
  new InkstoneError('schema_invalid', `${at(path)}: ${what}`, {
    kind: 'usage',
    hint: 'give a JSON Schema (draft 2020-12)',
    details: { path },
  });
