/** What the commands about prompts share: where prompts are, what a flag says, which template turns take. */
import path from 'node:path';
import { InkstoneError } from '../base/errors.ts';
import { exists, homeFolder, readInput, readText } from '../base/host.ts';
import { z } from '../base/schema.ts';
import {
  compilePrompt,
  type PromptDefinition,
  PromptRegistry,
  type Values,
  type Variables,
  valueOfText,
} from '../prompt/index.ts';
import { openStore } from '../store/index.ts';

export const own = { environment: false } as const;
export const homeSetting = z.string().optional().describe('folder for all state (default: .inkstone)');
export const referenceSetting = z.string().min(1).describe('NAME, NAME@VERSION or NAME@LABEL').meta(own);

/** Flags' backslashes: `\n` is a line end. */
export const unescaped = (text: string): string => text.replaceAll('\\n', '\n').replaceAll('\\t', '\t');

export async function openPrompts(home: string | undefined): Promise<PromptRegistry> {
  return new PromptRegistry(await openStore(home ?? homeFolder()));
}

/** A definition from a file: JSON, or a text as it stands. `-` reads standard input. */
export async function readDefinition(file: string): Promise<unknown> {
  const text = file === '-' ? await readInput() : await readText(file);
  if (!file.endsWith('.json') && !text.trimStart().startsWith('{"')) return { text: text.replace(/\n$/, '') };
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new InkstoneError('prompt_invalid', `${file} is not JSON: ${(cause as Error).message}`, {
      kind: 'usage',
      hint: 'a prompt is a JSON object with a text or messages, or a plain text file',
      cause,
    });
  }
}

/** A registered prompt, or one in a file. @throws InkstoneError `prompt_not_found` and what compiling throws */
export async function findPrompt(
  given: string,
  prompts: PromptRegistry,
): Promise<{ name: string; definition: PromptDefinition }> {
  if (/[./\\]/.test(given) && (await exists(given)))
    return {
      name: path.basename(given),
      definition: compilePrompt(await readDefinition(given)).definition,
    };
  const { name, version, definition } = await prompts.get(given);
  return { name: `${name}@${version}`, definition };
}

/** `--var name=value`, each by its type, over a JSON file of values. @throws InkstoneError `variable_unreadable` */
export async function readValues(
  variables: Variables,
  given: readonly string[],
  file: string | undefined,
): Promise<Values> {
  let values: Values = {};
  if (file !== undefined) {
    try {
      values = JSON.parse(await readText(file)) as Values;
    } catch (cause) {
      if (InkstoneError.is(cause)) throw cause;
      throw new InkstoneError('invalid_input', `${file} is not JSON`, { kind: 'usage', cause });
    }
    if (typeof values !== 'object' || values === null || Array.isArray(values))
      throw new InkstoneError('invalid_input', `${file} is no JSON object`, { kind: 'usage' });
  }
  for (const word of given) {
    const at = word.indexOf('=');
    if (at < 1)
      throw new InkstoneError('variable_unreadable', `--var expects NAME=VALUE, got ${word}`, {
        kind: 'usage',
        hint: '--var question="Why is the sky blue?"',
      });
    const name = word.slice(0, at);
    values = { ...values, [name]: valueOfText(variables[name], word.slice(at + 1)) };
  }
  return values;
}
