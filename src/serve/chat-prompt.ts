/**
 * Turns of a conversation as one text: by the model's own template, by the one our models are tuned to, or, for a
 * model that knows no turns, as plain text. Tools and their calls are written as Hermes and Qwen models have them.
 */
import type { ModelDescription } from '../base/contracts/replica.ts';
import { CHAT_STOP, chatPrompt, type Turn as PlainTurn } from '../data/text/chat.ts';
import { TemplateRenderer } from '../prompt/template-renderer.ts';
import type { ToolCall, Turn } from './conversation.ts';
import { CALL_CLOSE, CALL_OPEN } from './tool-parser.ts';
import type { FunctionTool, Tooling } from './tools.ts';

export interface ChatPrompt {
  text: string;
  /** Where an answer ends, if the model does not end it otherwise. */
  stop: readonly string[];
}

const renderer = new TemplateRenderer();

/** @throws InkstoneError `template_failed`, `template_process` */
export async function promptOf(
  model: ModelDescription,
  turns: readonly Turn[],
  tooling?: Tooling,
): Promise<ChatPrompt> {
  const { template } = model;
  const tools = tooling?.tools ?? [];
  // A call that has to come is begun for the model.
  const begun = tooling !== undefined && tooling.choice !== 'auto' ? `${CALL_OPEN}\n` : '';
  if (template !== undefined) {
    const knowsTools = /\btools\b/.test(template.source);
    const text = await renderer.render(template, {
      messages: knowsTools ? turns.map(messageOf) : plainTurns(turns, tools),
      ...(knowsTools && tools.length > 0 ? { tools: tools.map(definition) } : {}),
      add_generation_prompt: true,
    });
    return { text: text + begun, stop: template.eos === undefined ? [] : [template.eos] };
  }
  const plain = plainTurns(turns, tools);
  if (model.chat) return { text: `${chatPrompt(plain)}${begun === '' ? '' : ` ${begun}`}`, stop: CHAT_STOP };
  // A model that continues texts goes on from the user's words: no empty line behind the last.
  const said = plain.map(({ content }) => content).filter((content) => content !== '');
  return { text: [...said, ...(begun === '' ? [] : [begun])].join('\n\n'), stop: [] };
}

const definition = ({ name, description, parameters }: FunctionTool): object => ({
  type: 'function',
  function: {
    name,
    ...(description === undefined ? {} : { description }),
    parameters: parameters ?? { type: 'object', properties: {} },
  },
});

/** As Hugging Face's templates want messages: arguments as objects. */
function messageOf(turn: Turn): object {
  if (turn.role === 'tool')
    return {
      role: 'tool',
      content: turn.content,
      tool_call_id: turn.callId,
      ...(turn.name === undefined ? {} : { name: turn.name }),
    };
  if (turn.role !== 'assistant' || turn.calls === undefined)
    return { role: turn.role, content: turn.content };
  return {
    role: turn.role,
    content: turn.content,
    tool_calls: turn.calls.map(({ id, name, arguments: given }) => ({
      id,
      type: 'function',
      function: { name, arguments: objectOf(given) },
    })),
  };
}

function objectOf(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}

const callText = ({ name, arguments: given }: ToolCall): string =>
  `${CALL_OPEN}\n${JSON.stringify({ name, arguments: objectOf(given) })}\n${CALL_CLOSE}`;

/** What the model is told of its tools. */
const toolsText = (tools: readonly FunctionTool[]): string =>
  [
    'You can use these tools; each line is the JSON description of one function:',
    '<tools>',
    ...tools.map((tool) => JSON.stringify(definition(tool))),
    '</tools>',
    'To use one, write its name and arguments as JSON between these marks:',
    CALL_OPEN,
    '{"name": "…", "arguments": {…}}',
    CALL_CLOSE,
  ].join('\n');

/** Turns for templates that know three roles: tools are told of at the top, what they gave comes as the user's. */
function plainTurns(turns: readonly Turn[], tools: readonly FunctionTool[]): PlainTurn[] {
  const plain = turns.map((turn): PlainTurn => {
    if (turn.role === 'tool')
      return { role: 'user', content: `<tool_response>\n${turn.content}\n</tool_response>` };
    if (turn.role !== 'assistant') return turn;
    const calls = (turn.calls ?? []).map(callText);
    return { role: 'assistant', content: [turn.content, ...calls].filter((text) => text !== '').join('\n') };
  });
  if (tools.length === 0) return plain;
  const [first, ...rest] = plain;
  const told = toolsText(tools);
  return first?.role === 'system'
    ? [{ role: 'system', content: `${first.content}\n\n${told}` }, ...rest]
    : [{ role: 'system', content: told }, ...plain];
}
