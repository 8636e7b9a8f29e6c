/** A prompt and values → a text, or turns. Knows no model: how turns become one text is a chat template's. */
import type { Turn } from '../data/text/chat.ts';
import { EXAMPLES, type Prompt, type PromptPart } from './definition.ts';
import { ExampleSelector, type Question } from './select.ts';
import type { Embed } from './similarity.ts';
import { renderTemplate } from './template.ts';
import { checkValues, type Values } from './variables.ts';

export interface Rendered {
  /** Of a prompt with a text. */
  text?: string;
  /** Of a prompt with messages. */
  messages?: Turn[];
  /** The examples that it shows. */
  examples: Values[];
}

export interface RenderOptions {
  /** For examples that are drawn: which question it is. */
  number?: number;
  /** Fields that the prompt does not ask for are left alone. */
  extra?: boolean;
}

const turnOf = ({ role, nodes }: PromptPart, values: Values): Turn => ({
  role,
  content: renderTemplate(nodes, values),
});

/** Renders one prompt again and again; what examples are compared by is made ready once. */
export class PromptRenderer {
  readonly prompt: Prompt;
  private readonly selector: ExampleSelector | undefined;

  constructor(prompt: Prompt, embed?: Embed) {
    this.prompt = prompt;
    const { examples } = prompt.definition;
    this.selector = examples === undefined ? undefined : new ExampleSelector(examples, embed);
  }

  /** @throws InkstoneError `variable_missing`, `variable_invalid`, `variable_unknown` */
  async render(given: Values, options: RenderOptions = {}): Promise<Rendered> {
    const { variables, definition, text, messages, format, turns } = this.prompt;
    const values = checkValues(variables, given, { extra: options.extra ?? false });
    const question: Question = {
      values,
      ...(options.number === undefined ? {} : { number: options.number }),
    };
    const examples = (await this.selector?.pick(question)) ?? [];
    if (text !== undefined) {
      const shown = examples.map((row) => renderTemplate(format ?? [], row));
      const separator = definition.examples?.separator ?? '';
      return { text: renderTemplate(text, { ...values, [EXAMPLES]: shown.join(separator) }), examples };
    }
    return {
      messages: (messages ?? []).flatMap((part) =>
        part === 'examples'
          ? examples.flatMap((row) => (turns ?? []).map((one) => turnOf(one, row)))
          : [turnOf(part, values)],
      ),
      examples,
    };
  }
}

/** What stands between a prompt and its answer. */
export function leadOf({ definition }: Prompt, prompt: string): string {
  return definition.lead ?? (prompt === '' || /\s$/u.test(prompt) ? '' : ' ');
}
