/**
 * Finds commands by their words, from the files in `commands/`: a new file there is a new command, and only the
 * one that runs is loaded. Knows nothing of flags or printing.
 */
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { InkstoneError } from '../base/errors.ts';
import { exists, listTree } from '../base/host.ts';
import { nearest } from '../base/nearest.ts';
import { type Command, isCommand } from './command.ts';

/** `.ts` under the tests, `.js` in `dist`. */
const extension = path.extname(fileURLToPath(import.meta.url));
const ownFolder = path.join(path.dirname(fileURLToPath(import.meta.url)), 'commands');

export interface Found {
  command: Command;
  /** The words that are left. */
  rest: string[];
}

/** Where commands come from; tests hand in their own. */
export interface CommandSource {
  /** `train/text`, `serve`: all that there is, sorted. */
  names(): Promise<string[]>;
  load(name: string): Promise<Command | undefined>;
}

export function folderSource(folder = ownFolder): CommandSource {
  return {
    async names() {
      const files = (await exists(folder)) ? await listTree(folder) : [];
      const code = files.filter((f) => f.endsWith(extension) && !/\.(test|d)\.ts$/.test(f));
      return code.map((f) => f.slice(0, -extension.length));
    },
    async load(name) {
      const file = path.join(folder, `${name}${extension}`);
      const module = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
      return Object.values(module).find(isCommand);
    },
  };
}

const spoken = (name: string): string => name.replaceAll('/', ' ').replace(/ index$/, '');

/** Words before the first flag. */
function leadingWords(args: readonly string[]): string[] {
  const end = args.findIndex((word) => word.startsWith('-'));
  return args.slice(0, end < 0 ? args.length : end);
}

/**
 * The command that the words name, the longest match first: `train text x` is `train/text` with `x` left.
 * @returns undefined where the words name only a family (`train`)
 * @throws InkstoneError `unknown_command`
 */
export async function find(source: CommandSource, args: readonly string[]): Promise<Found | undefined> {
  const names = await source.names();
  const words = leadingWords(args);
  for (let n = words.length; n > 0; n--) {
    const first = words.slice(0, n);
    const name =
      names.find((one) => spoken(one) === first.join(' ')) ?? names.find((one) => one === first.join('-'));
    const command = name === undefined ? undefined : await source.load(name);
    if (command !== undefined) return { command, rest: args.slice(n) };
  }
  const [family = '', member] = words;
  const members = names.filter((one) => one.startsWith(`${family}/`)).map(spoken);
  if (members.length > 0 && member === undefined) return undefined;
  const known = members.length > 0 ? members : [...new Set(names.map((one) => spoken(one)))];
  const said = members.length > 0 ? `${family} ${member}` : family;
  const families = [...new Set(names.map((one) => one.split('/')[0] as string))];
  const meant = nearest(said, members.length > 0 ? known : [...known, ...families]);
  throw new InkstoneError('unknown_command', `there is no command "${said}"`, {
    kind: 'usage',
    hint: meant === undefined ? 'see inkstone --help' : `did you mean inkstone ${meant}?`,
  });
}

/** Names and summaries of all commands, for the help page. One that does not load is listed with its reason. */
export async function list(source: CommandSource): Promise<{ name: string; summary: string }[]> {
  const names = await source.names();
  const loaded = await Promise.all(
    names.map(async (name) => {
      try {
        const command = await source.load(name);
        return command === undefined ? [] : [{ name: command.name, summary: command.summary }];
      } catch (thrown) {
        return [{ name: spoken(name), summary: `cannot be loaded: ${InkstoneError.from(thrown).message}` }];
      }
    }),
  );
  return loaded.flat().sort((a, b) => (a.name < b.name ? -1 : 1));
}
