/** The chat template of a Hugging Face folder, and the tokens around it. Knows files; renders nothing. */
import { z } from 'zod';
import type { ChatTemplate } from '../../base/contracts/replica.ts';
import { InkstoneError } from '../../base/errors.ts';
import { exists, readText } from '../../base/host.ts';

/** Characters of a template that is still read: larger ones are no templates. */
const LONGEST_TEMPLATE = 256 * 1024;

const token = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish();
const config = z.looseObject({
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))])
    .nullish(),
  bos_token: token,
  eos_token: token,
});

const textOf = (given: z.output<typeof token>): string | undefined =>
  typeof given === 'string' ? given : given?.content;

/** `chat_template.jinja`, or what tokenizer_config.json says. @throws InkstoneError `model_invalid` */
export async function readTemplate(folder: string): Promise<ChatTemplate | undefined> {
  const file = `${folder}/tokenizer_config.json`;
  const invalid = (why: string, cause?: unknown): InkstoneError =>
    new InkstoneError('model_invalid', `${file}: ${why}`, { kind: 'data', cause });
  let raw: unknown = {};
  if (await exists(file)) {
    try {
      raw = JSON.parse(await readText(file));
    } catch (cause) {
      throw invalid('it is not JSON', cause);
    }
  }
  const read = config.safeParse(raw);
  if (!read.success) throw invalid(z.prettifyError(read.error));
  const { chat_template: given, bos_token, eos_token } = read.data;
  const own = `${folder}/chat_template.jinja`;
  const named = Array.isArray(given)
    ? (given.find(({ name }) => name === 'default') ?? given[0])?.template
    : given;
  const source = (await exists(own)) ? await readText(own) : named;
  if (source === undefined || source === null) return undefined;
  if (source.length > LONGEST_TEMPLATE)
    throw invalid(`its chat template has more than ${LONGEST_TEMPLATE} characters`);
  const [bos, eos] = [textOf(bos_token), textOf(eos_token)];
  return { source, ...(bos === undefined ? {} : { bos }), ...(eos === undefined ? {} : { eos }) };
}
