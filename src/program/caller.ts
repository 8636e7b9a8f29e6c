/** Finds the line of the user's code that called into programs, for error messages. Knows only stack text. */

const OURS = /[\\/](?:src|dist)[\\/]program[\\/](?!.*\.test\.)/;
const SKIP = /node_modules|node:internal/;

/** `file:line` of the nearest caller outside program/, or ''. */
export function callerLine(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 40;
  const stack = new Error().stack ?? '';
  Error.stackTraceLimit = limit;
  for (const line of stack.split('\n').slice(1)) {
    const place = /\(?((?:file:\/\/)?[^()\s]+):(\d+):\d+\)?$/.exec(line.trim());
    if (place === null) continue;
    const file = (place[1] as string).replace('file://', '');
    if (OURS.test(file) || SKIP.test(file)) continue;
    return `${file}:${place[2]}`;
  }
  return '';
}
