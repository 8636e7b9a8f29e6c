/**
 * A prompt as data: a text or turns with typed variables, examples, choices. Checked as a whole when it is made, so that
 * a prompt in use can only fail by its values.
 */
import { InkstoneError } from '../base/errors.ts';
import { z } from '../base/schema.ts';
import { SELECTIONS } from './select.ts';
import { type Node, parseTemplate } from './template.ts';
import {
  checkTemplate,
  checkValues,
  namesOf,
  type Variable,
  type Variables,
  variableSchema,
} from './variables.ts';

const turn = z.strictObject({
  role: z.enum(['system', 'user', 'assistant']),
  content: z.string(),
});
/** Where the turns of the examples stand among the turns. */
const exampleTurns = z.strictObject({ examples: z.literal(true) });

const examples = z.strictObject({
  /** Records to show; questions and answers under their fields' names. */
  rows: z.array(z.record(z.string(), z.unknown())).max(100_000),
  /** One example, for a text: `Q: {{question}}\nA: {{answer}}`. */
  format: z.string().min(1).optional(),
  /** Between two examples. */
  separator: z.string().default('\n\n'),
  /** One example as turns, for turns. */
  turns: z.array(turn).min(1).optional(),
  count: z.number().int().min(0).max(1000).default(4),
  select: z.enum(SELECTIONS).default('fixed'),
  /** `similar`: the variable that is compared. */
  by: z.string().optional(),
  seed: z.number().int().min(0).default(1),
});

export const promptDefinition = z.strictObject({
  description: z.string().max(2000).optional(),
  text: z.string().min(1).optional(),
  messages: z
    .array(z.union([turn, exampleTurns]))
    .min(1)
    .optional(),
  /** Left out: every name in the template is a text that must be given. */
  variables: z.record(z.string(), variableSchema).optional(),
  examples: examples.optional(),
  /** Answers that can be given, for a choice by likelihood. */
  choices: z.array(z.string().min(1)).min(2).optional(),
  /** What stands between prompt and answer; default a space, unless the prompt ends in one. */
  lead: z.string().optional(),
});
export type PromptDefinition = z.output<typeof promptDefinition>;
export type PromptInput = z.input<typeof promptDefinition>;

/** The name under which examples are put into a text. */
export const EXAMPLES = 'examples';

export interface PromptPart {
  role: 'system' | 'user' | 'assistant';
  nodes: Node[];
}

/** A definition that has been checked, its templates parsed. */
export interface Prompt {
  definition: PromptDefinition;
  variables: Variables;
  /** A text: one list of nodes; turns: parts, and `examples` where theirs stand. */
  text: Node[] | undefined;
  messages: (PromptPart | 'examples')[] | undefined;
  format: Node[] | undefined;
  turns: PromptPart[] | undefined;
  /** Fields that an example needs. */
  fields: Variables;
}

function invalid(
  code: string,
  message: string,
  hint: string,
  details: Record<string, unknown> = {},
): InkstoneError {
  return new InkstoneError(code, message, { kind: 'usage', hint, details });
}

/** A template with what it belongs to in its errors. */
function parsed(source: string, of: string): Node[] {
  try {
    return parseTemplate(source);
  } catch (thrown) {
    if (!InkstoneError.is(thrown)) throw thrown;
    throw invalid(thrown.code, `${of}: ${thrown.message}`, thrown.hint ?? '', thrown.details);
  }
}

/**
 * @throws InkstoneError `prompt_invalid`, `template_invalid`, `variable_undeclared`, `examples_unplaced`,
 * `example_invalid`
 */
export function compilePrompt(value: unknown): Prompt {
  const read = promptDefinition.safeParse(value);
  if (!read.success) {
    const [issue] = read.error.issues as [z.core.$ZodIssue];
    const at = issue.path.map(String).join('.');
    throw invalid(
      'prompt_invalid',
      `${at === '' ? 'the prompt' : at}: ${issue.message}`,
      'a prompt has a text or messages',
      {
        param: at,
      },
    );
  }
  const definition = read.data;
  if ((definition.text === undefined) === (definition.messages === undefined))
    throw invalid('prompt_invalid', 'a prompt has either a text or messages', 'give one of the two');
  const part = ({ role, content }: z.output<typeof turn>, of: string): PromptPart => ({
    role,
    nodes: parsed(content, of),
  });
  const text = definition.text === undefined ? undefined : parsed(definition.text, 'text');
  const messages = definition.messages?.map((one, i) =>
    'examples' in one ? 'examples' : part(one, `messages.${i}`),
  );
  const own = [...(text ?? []), ...(messages ?? []).flatMap((one) => (one === 'examples' ? [] : one.nodes))];
  const variables = variablesOf(definition, own);
  if (Object.hasOwn(variables, EXAMPLES))
    throw invalid(
      'prompt_invalid',
      '"examples" is where examples stand, no variable',
      'call the variable otherwise',
    );
  const placed: Variables = text === undefined ? variables : { ...variables, [EXAMPLES]: { type: 'string' } };
  checkTemplate(own, placed);
  const shown = examplesOf(definition, variables);
  requirePlace(definition, own, messages);
  return { definition, variables, text, messages, ...shown };
}

function variablesOf(definition: PromptDefinition, nodes: readonly Node[]): Variables {
  if (definition.variables !== undefined) {
    for (const [name, variable] of Object.entries(definition.variables)) requireDefault(name, variable);
    return definition.variables;
  }
  return Object.fromEntries(
    namesOf(nodes)
      .filter((name) => name !== EXAMPLES)
      .map((name): [string, Variable] => [name, { type: 'string' }]),
  );
}

/** A default must be a value that the variable takes. */
function requireDefault(name: string, variable: Variable): void {
  if (!('default' in variable) || variable.default === undefined) return;
  checkValues(
    { [name]: { ...variable, default: undefined } as Variable },
    { [name]: variable.default },
    { of: 'default' },
  );
}

function examplesOf(
  definition: PromptDefinition,
  variables: Variables,
): Pick<Prompt, 'format' | 'turns' | 'fields'> {
  const { examples: given } = definition;
  if (given === undefined) return { format: undefined, turns: undefined, fields: {} };
  const format = given.format === undefined ? undefined : parsed(given.format, 'examples.format');
  const turns = given.turns?.map((one, i) => ({
    role: one.role,
    nodes: parsed(one.content, `examples.turns.${i}`),
  }));
  if (definition.text !== undefined && format === undefined)
    throw invalid(
      'prompt_invalid',
      'examples of a text need a format',
      'give examples.format, as "Q: {{question}}\\nA: {{answer}}"',
    );
  if (definition.messages !== undefined && turns === undefined)
    throw invalid(
      'prompt_invalid',
      'examples among messages need turns',
      'give examples.turns, a user’s and an assistant’s',
    );
  const nodes = [...(format ?? []), ...(turns ?? []).flatMap((one) => one.nodes)];
  const names = new Set([...namesOf(nodes), ...(given.by === undefined ? [] : [given.by])]);
  // What no variable declares (the answer, as a rule) may be text, a number, or true or false.
  const fields = Object.fromEntries(
    [...names].map((name): [string, Variable] => [name, variables[name] ?? { type: 'string' }]),
  );
  checkTemplate(nodes, fields);
  given.rows.forEach((row, i) => {
    checkExample(row, fields, `example ${i + 1}`);
  });
  if (given.select === 'similar' && (given.by === undefined || variables[given.by] === undefined))
    throw invalid(
      'prompt_invalid',
      given.by === undefined
        ? 'similar examples need a variable to compare by'
        : `examples.by: there is no variable ${given.by}`,
      `examples.by is one of ${Object.keys(variables).join(', ')}`,
    );
  return { format, turns, fields };
}

/** @throws InkstoneError `example_invalid` naming example and field */
export function checkExample(row: Readonly<Record<string, unknown>>, fields: Variables, of: string): void {
  const scalar = Object.fromEntries(
    Object.entries(row).map(([name, value]) => [
      name,
      fields[name]?.type === 'string' && (typeof value === 'number' || typeof value === 'boolean')
        ? String(value)
        : value,
    ]),
  );
  try {
    checkValues(fields, scalar, { extra: true, of });
  } catch (thrown) {
    if (!InkstoneError.is(thrown)) throw thrown;
    throw invalid('example_invalid', thrown.message, thrown.hint ?? '', thrown.details);
  }
}

function requirePlace(
  { examples: given, text }: PromptDefinition,
  nodes: readonly Node[],
  messages: Prompt['messages'],
): void {
  const placed = text === undefined ? messages?.includes('examples') : namesOf(nodes).includes(EXAMPLES);
  if (given !== undefined && placed !== true)
    throw invalid(
      'examples_unplaced',
      'the prompt has examples but no place for them',
      text === undefined ? 'put {"examples": true} among the messages' : 'put {{examples}} into the text',
    );
  if (given === undefined && placed === true)
    throw invalid(
      'examples_unplaced',
      'the prompt has a place for examples but none',
      'give examples with rows',
    );
}
