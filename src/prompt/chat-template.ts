/**
 * Chat templates: turns as the one text that a model was tuned to. Our own plain one, well-known ones, and the Jinja
 * template that a checkpoint brings along. Knows no model.
 */
import { Template } from '@huggingface/jinja';
import type { ChatTemplate } from '../base/contracts/replica.ts';
import { InkstoneError } from '../base/errors.ts';
import { chatPrompt, type Turn } from '../data/text/chat.ts';
import { TemplateRenderer } from './template-renderer.ts';

export interface TurnTemplate {
  name: string;
  /** What a model goes on from as the assistant. @throws InkstoneError `chat_template_failed`, `template_failed`, `template_process` */
  render(turns: readonly Turn[]): Promise<string>;
}

const valuesOf = (turns: readonly Turn[]): Record<string, unknown> => ({
  messages: turns.map(({ role, content }) => ({ role, content })),
  add_generation_prompt: true,
});

const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const LLAMA3 =
  "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";

const PLAIN: TurnTemplate = { name: 'plain', render: async (turns) => chatPrompt(turns) };

/** Templates by name: `plain` is the one that `inkstone train chat` tunes to. */
export const CHAT_TEMPLATES: Readonly<Record<string, TurnTemplate>> = {
  plain: PLAIN,
  chatml: jinjaTemplate('chatml', CHATML),
  llama3: jinjaTemplate('llama3', LLAMA3, { bos_token: '<|begin_of_text|>' }),
};

/**
 * A template in Jinja that is known and trusted.
 * @param tokens special tokens by the names that templates use: `bos_token`, `eos_token`
 * @throws InkstoneError `chat_template_invalid`
 */
export function jinjaTemplate(
  name: string,
  source: string,
  tokens: Readonly<Record<string, string>> = {},
): TurnTemplate {
  const refused = (why: string, cause?: unknown): InkstoneError =>
    new InkstoneError('chat_template_invalid', `the chat template ${name} cannot be read: ${why}`, {
      kind: 'data',
      hint: 'it must be a Jinja template, as Hugging Face checkpoints have',
      cause,
    });
  let template: Template;
  try {
    template = new Template(source);
  } catch (cause) {
    throw refused((cause as Error).message, cause);
  }
  return {
    name,
    async render(turns) {
      try {
        return template.render({
          ...tokens,
          ...valuesOf(turns),
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

const renderer = new TemplateRenderer();

/** A checkpoint's own template: it comes from anywhere, so it is rendered in a thread with bounds. */
export function modelTemplate(template: ChatTemplate): TurnTemplate {
  return {
    name: 'the model’s own',
    render: (turns) => renderer.render(template, valuesOf(turns)),
  };
}
