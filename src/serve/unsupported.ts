/**
 * Parameters of the wire that would change an answer and are not done here: they are refused by name, so that
 * nothing is silently left out. Values that change nothing pass, and so does what only describes the caller.
 */
import { InkstoneError } from '../base/errors.ts';

/** @throws InkstoneError `unsupported_parameter` */
export function refuse(given: boolean, param: string, how = ''): void {
  if (!given) return;
  throw new InkstoneError('unsupported_parameter', `'${param}'${how} is not supported by this model`, {
    kind: 'unsupported',
    hint: 'leave it out',
    details: { param },
  });
}

const empty = (value: unknown): boolean =>
  (Array.isArray(value) && value.length === 0) ||
  (typeof value === 'object' && Object.keys(value as object).length === 0);
const oneOf =
  (...values: unknown[]) =>
  (value: unknown): boolean =>
    values.includes(value);
const textOnly = (value: unknown): boolean =>
  Array.isArray(value) && value.every((modality) => modality === 'text');
const never = (): boolean => false;

/** By parameter: whether a value changes nothing. Absent and null always pass. */
const HARMLESS: Record<string, (value: unknown) => boolean> = {
  functions: empty,
  function_call: oneOf('none', 'auto'),
  modalities: textOnly,
  audio: never,
  web_search_options: never,
  suffix: oneOf(''),
};

/** @throws InkstoneError `unsupported_parameter` naming the first */
export function refuseUnsupported(body: Readonly<Record<string, unknown>>): void {
  for (const [param, harmless] of Object.entries(HARMLESS)) {
    const value = body[param];
    refuse(value !== undefined && value !== null && !harmless(value), param);
  }
}
