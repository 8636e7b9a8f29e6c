/** Strings of a schema: lengths, patterns and formats as a machine. */
import { type Grammar, machine } from './grammar.ts';
import type { Keywords } from './json-keywords.ts';
import { ofPattern } from './pattern.ts';
import { unsatisfiable, unsupported } from './schema-errors.ts';
import { ofLength, stringMachine } from './text-machines.ts';

/** Patterns whose every match is of the format; not every text of the format matches. */
const FORMATS: Record<string, string> = {
  date: '^[12]\\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\\d|2[0-8])$',
  time: '^(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,3})?Z$',
  'date-time':
    '^[12]\\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\\d|2[0-8])T(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,3})?Z$',
  duration: '^P(?:[1-9]\\d{0,3}D|T[1-9]\\d{0,3}[HMS])$',
  uuid: '^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$',
  email:
    '^[A-Za-z0-9](?:[A-Za-z0-9_.+-]{0,20}[A-Za-z0-9])?@[a-z0-9]{1,20}(?:\\.[a-z0-9]{1,20}){0,2}\\.[a-z]{2,6}$',
  hostname: '^[a-z0-9]{1,30}(?:\\.[a-z0-9]{1,30}){0,3}$',
  ipv4: '^(?:(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)\\.){3}(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)$',
  uri: '^https?://[a-z0-9]{1,30}(?:\\.[a-z0-9]{1,30}){0,3}(?:/[A-Za-z0-9_.~-]{1,40}){0,8}$',
};

/** The inside of the string. @throws InkstoneError `schema_unsupported`, `schema_unsatisfiable` */
export function stringGrammar(given: Keywords, path: string): Grammar {
  const { minLength: from = 0, maxLength: to = Number.POSITIVE_INFINITY, pattern, format } = given;
  if (pattern !== undefined && format !== undefined)
    throw unsupported(path, '"pattern" and "format" together are not supported');
  if (format !== undefined && !Object.hasOwn(FORMATS, format))
    throw unsupported(
      path,
      `"format" ${JSON.stringify(format)} is not supported`,
      `formats are ${Object.keys(FORMATS).join(', ')}`,
    );
  const source = pattern ?? (format === undefined ? undefined : FORMATS[format]);
  const characters =
    source === undefined ? ofLength(from, to) : ofPattern(source, { from, to, path: `${path}/pattern` });
  const inside = stringMachine(characters);
  if (from > to || characters.start < 0 || inside.least(inside.start) === Number.POSITIVE_INFINITY)
    throw unsatisfiable(path, 'no string fits it');
  return machine(inside);
}
