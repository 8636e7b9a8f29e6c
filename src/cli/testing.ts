/** Runs a command as the shell would, within the test's own process. For tests only. */
import { folderSource } from './find.ts';
import { execute } from './main.ts';

export interface CommandRun {
  status: number;
  out: string;
  error: { code: string; message: string; hint?: string };
  /** What was said on stderr. */
  said: string;
  /** The last line of stdout, where it is JSON. */
  json: Record<string, unknown>;
}

export async function runMain(words: readonly string[]): Promise<CommandRun> {
  let out = '';
  let said = '';
  const status = await execute(words, {
    source: folderSource(),
    out: (text) => {
      out += text;
    },
    error: (text) => {
      said += text;
    },
    variable: () => undefined,
    signal: new AbortController().signal,
    stoppedBy: () => undefined,
  });
  const last = (text: string): string => text.trimEnd().split('\n').at(-1) ?? '';
  const json = last(out).startsWith('{') ? (JSON.parse(last(out)) as Record<string, unknown>) : {};
  const error = (json.error ?? { code: '', message: said }) as CommandRun['error'];
  return { status, out, error, said, json };
}
