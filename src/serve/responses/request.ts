/** What `/v1/responses` takes: its body, and the items of a conversation as turns. Knows no answers. */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { notText, resultOf, type ToolCall, type Turn } from '../conversation.ts';
import { functionShape, type ToolChoice } from '../tools.ts';

const part = z.looseObject({
  type: z.string(),
  text: z.string().optional(),
  refusal: z.string().optional(),
});
const parts = z.union([z.string(), z.array(part)]);
/** Every kind of item; which fields it needs is told by `turnsOfItems`. */
export const responseItem = z.looseObject({
  type: z.string().nullish(),
  id: z.string().nullish(),
  role: z.enum(['user', 'assistant', 'system', 'developer']).nullish(),
  content: parts.nullish(),
  call_id: z.string().nullish(),
  name: z.string().nullish(),
  arguments: z.string().nullish(),
  output: parts.nullish(),
});
export type ResponseItem = z.output<typeof responseItem>;

const responseTool = z.looseObject({
  type: z.literal('function', { error: 'only functions can be called here' }),
  ...functionShape,
});
const named = z.looseObject({ type: z.literal('function'), name: z.string() });
const responseToolChoice = z.union(
  [
    z.enum(['none', 'auto', 'required']),
    named,
    z.looseObject({
      type: z.literal('allowed_tools'),
      mode: z.enum(['auto', 'required']),
      tools: z.array(named).min(1),
    }),
  ],
  { error: 'must be none, auto, required, or name a function' },
);

export const textFormat = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('text') }),
  z.looseObject({ type: z.literal('json_object') }),
  z.looseObject({
    type: z.literal('json_schema'),
    name: z.string().min(1).max(64).optional(),
    description: z.string().nullish(),
    /** Documents are always held to the schema. */
    strict: z.boolean().nullish(),
    schema: z.record(z.string(), z.unknown()),
  }),
]);

/** What is not about texts adds nothing to an answer of text. */
const included = z.enum([
  'message.output_text.logprobs',
  'reasoning.encrypted_content',
  'file_search_call.results',
  'web_search_call.results',
  'web_search_call.action.sources',
  'message.input_image.image_url',
  'computer_call_output.output.image_url',
  'code_interpreter_call.outputs',
]);

export const responsesBody = z.looseObject({
  model: z.string().min(1),
  input: z.union([z.string(), z.array(responseItem).min(1)], {
    error: 'must be a text or a list of items',
  }),
  instructions: z.string().nullish(),
  previous_response_id: z.string().min(1).nullish(),
  /** Kept for 30 days unless this is false. */
  store: z.boolean().nullish(),
  stream: z.boolean().nullish(),
  max_output_tokens: z.int().min(1).max(1_000_000).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  tools: z.array(responseTool).max(128).nullish(),
  tool_choice: responseToolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  text: z.looseObject({ format: textFormat.nullish(), verbosity: z.string().nullish() }).nullish(),
  include: z.array(included).nullish(),
  metadata: z.record(z.string().max(64), z.string().max(512)).nullish(),
  user: z.string().nullish(),
  truncation: z.enum(['auto', 'disabled']).nullish(),
  /** Not OpenAI's. */
  seed: z.int().nullish(),
  top_k: z.int().min(-1).nullish(),
});
export type ResponsesBody = z.output<typeof responsesBody>;

export function responseChoice(
  given: z.output<typeof responseToolChoice> | null | undefined,
): ToolChoice | undefined {
  if (given === null || given === undefined) return undefined;
  if (typeof given === 'string') return given;
  return given.type === 'function'
    ? { mode: 'required', names: [given.name], named: true }
    : { mode: given.mode, names: given.tools.map(({ name }) => name) };
}

const wrong = (param: string, message: string): InkstoneError =>
  new InkstoneError('parameter_invalid', `'${param}': ${message}`, { kind: 'usage', details: { param } });

function textOf(content: ResponseItem['content'], param: string): string {
  if (typeof content === 'string') return content;
  return (content ?? [])
    .map((one, i) => {
      const text = /^(input|output)_text$|^text$/.test(one.type) ? one.text : undefined;
      if (text !== undefined) return text;
      if (one.type === 'refusal' && one.refusal !== undefined) return one.refusal;
      throw notText(one.type, `${param}.${i}`);
    })
    .join('');
}

/**
 * Items in order; what an assistant says and calls between two of others is one turn.
 * @throws InkstoneError `parameter_invalid`, `unsupported_parameter`
 */
export function turnsOfItems(items: readonly ResponseItem[], param = (i: number) => `input.${i}`): Turn[] {
  const turns: Turn[] = [];
  const names = new Map<string, string>();
  const assistant = (content: string, calls: readonly ToolCall[]): void => {
    const last = turns.at(-1);
    if (last?.role !== 'assistant' || (content !== '' && last.calls !== undefined)) {
      turns.push({ role: 'assistant', content, ...(calls.length === 0 ? {} : { calls }) });
      return;
    }
    const all = [...(last.calls ?? []), ...calls];
    turns[turns.length - 1] = {
      ...{ role: 'assistant', content: last.content + content },
      ...(all.length === 0 ? {} : { calls: all }),
    };
  };
  items.forEach((item, i) => {
    const at = param(i);
    switch (item.type ?? 'message') {
      case 'message': {
        const { role } = item;
        if (role === null || role === undefined) throw wrong(`${at}.role`, 'a message needs a role');
        const content = textOf(item.content, `${at}.content`);
        if (role === 'assistant') assistant(content, []);
        else turns.push({ role: role === 'user' ? 'user' : 'system', content });
        break;
      }
      case 'function_call': {
        const { call_id: id, name, arguments: given } = item;
        if (!id || !name || typeof given !== 'string')
          throw wrong(at, 'a call needs call_id, name and arguments');
        names.set(id, name);
        assistant('', [{ id, name, arguments: given }]);
        break;
      }
      case 'function_call_output':
        turns.push({
          ...{ role: 'tool', content: textOf(item.output, `${at}.output`) },
          ...resultOf(item.call_id, names, `${at}.call_id`),
        });
        break;
      case 'reasoning':
        // Thoughts of another model; this one has none, and they are no part of what was said.
        break;
      default:
        throw wrong(`${at}.type`, `items of the type ${item.type} are not known here`);
    }
  });
  return turns;
}
