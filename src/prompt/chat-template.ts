/**
 * Chat templates: turns as the one text that a model was tuned to. Our own plain one, well-known ones, and the Jinja
 * template that a checkpoint brings along. Knows no model.
 */
import { Template } from '@huggingface/jinja';
import { InkstoneError } from '../base/errors.ts';
import { chatPrompt, type Turn } from '../data/text/chat.ts';

export interface ChatTemplate {
  name: string;
  /** What a model goes on from as the assistant. @throws InkstoneError `chat_template_failed` */
  render(turns: readonly Turn[]): string;
}

/** Characters of a template that is still read: larger ones are no templates. */
const LONGEST = 200_000;

const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const LLAMA3 =
  "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";

const PLAIN: ChatTemplate = { name: 'plain', render: (turns) => chatPrompt(turns) };

/** Templates by name: `plain` is the one that `inkstone train chat` tunes to. */
export const CHAT_TEMPLATES: Readonly<Record<string, ChatTemplate>> = {
  plain: PLAIN,
  chatml: jinjaTemplate('chatml', CHATML),
  llama3: jinjaTemplate('llama3', LLAMA3, { bos_token: '<|begin_of_text|>' }),
};

/**
 * A template in Jinja, as checkpoints carry it (transformers' `apply_chat_template`).
 * @param tokens special tokens by the names that templates use: `bos_token`, `eos_token`
 * @throws InkstoneError `chat_template_invalid`
 */
export function jinjaTemplate(
  name: string,
  source: string,
  tokens: Readonly<Record<string, string>> = {},
): ChatTemplate {
  const refused = (why: string, cause?: unknown): InkstoneError =>
    new InkstoneError('chat_template_invalid', `the chat template ${name} cannot be read: ${why}`, {
      kind: 'data',
      hint: 'it must be a Jinja template, as Hugging Face checkpoints have',
      cause,
    });
  if (source.length > LONGEST) throw refused(`it has ${source.length} characters`);
  let template: Template;
  try {
    template = new Template(source);
  } catch (cause) {
    throw refused((cause as Error).message, cause);
  }
  return {
    name,
    render(turns) {
      try {
        return template.render({
          ...tokens,
          messages: turns.map(({ role, content }) => ({ role, content })),
          add_generation_prompt: true,
          // Defined and nothing, as transformers has them.
          tools: null,
          documents: null,
        });
      } catch (cause) {
        throw new InkstoneError(
          'chat_template_failed',
          `the chat template ${name} does not take these turns: ${(cause as Error).message}`,
          {
            kind: 'usage',
            hint: 'many templates want turns of user and assistant in turn, and a system turn only at the start',
            cause,
          },
        );
      }
    },
  };
}

const tokenText = (value: unknown): string | undefined => {
  if (typeof value === 'string') return value;
  const content = (value as { content?: unknown } | null | undefined)?.content;
  return typeof content === 'string' ? content : undefined;
};

/**
 * The template in a checkpoint's tokenizer_config.json (or beside it, as chat_template.jinja); undefined where it has
 * none. Of several, the one called `default`.
 * @throws InkstoneError `chat_template_invalid`
 */
export function templateOfCheckpoint(
  config: Readonly<Record<string, unknown>>,
  jinja?: string,
): ChatTemplate | undefined {
  const given = jinja ?? config.chat_template;
  const source = Array.isArray(given)
    ? (given as { name?: unknown; template?: unknown }[]).find(({ name }) => name === 'default')?.template
    : given;
  if (typeof source !== 'string' || source === '') return undefined;
  const tokens: Record<string, string> = {};
  for (const name of ['bos_token', 'eos_token', 'unk_token', 'pad_token']) {
    const text = tokenText(config[name]);
    if (text !== undefined) tokens[name] = text;
  }
  return jinjaTemplate('of the checkpoint', source, tokens);
}
