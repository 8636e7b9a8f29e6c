/** The two errors of a tokenizer.json: damaged, or with a part that is not known here. */
import { InkstoneError } from '../../../base/errors.ts';

export const unsupportedPart = (what: string): InkstoneError =>
  new InkstoneError('tokenizer_unsupported', `${what} cannot be read`, {
    kind: 'unsupported',
    hint: 'a tokenizer that gives other ids than its makers meant is refused',
  });

export const invalidFile = (why: string): InkstoneError =>
  new InkstoneError('tokenizer_invalid', `tokenizer.json is damaged: ${why}`, {
    kind: 'data',
    hint: 'copy or fetch it again',
  });
