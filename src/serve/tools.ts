/** Tools of a request: which there are, whether one must be called, and what a forced call has to look like. */
import { z } from 'zod';
import type { TextConstraint } from '../base/contracts/generator.ts';
import { InkstoneError } from '../base/errors.ts';
import { checked } from './structured.ts';
import { CALL_CLOSE, CALL_OPEN } from './tool-parser.ts';

export interface FunctionTool {
  name: string;
  description?: string | undefined;
  /** A JSON schema of the arguments. */
  parameters?: Record<string, unknown> | undefined;
  /** Its arguments are held to the schema. */
  strict: boolean;
}

export interface Tooling {
  tools: readonly FunctionTool[];
  /** `required` is any of the tools, `named` the only one. */
  choice: 'auto' | 'required' | 'named';
  parallel: boolean;
}

const name = z
  .string()
  .regex(/^[a-zA-Z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, dashes and underscores');
/** What both wires say of a function. */
export const functionShape = {
  name,
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
};

/** `tools` and `tool_choice` of `/v1/chat/completions`. */
export const chatTool = z.looseObject({
  type: z.literal('function', { error: 'only functions can be called here' }),
  function: z.looseObject(functionShape),
});
const mode = z.enum(['auto', 'required']);
const namedFunction = z.looseObject({ type: z.literal('function'), function: z.looseObject({ name }) });
export const chatToolChoice = z.union(
  [
    z.enum(['none', 'auto', 'required']),
    namedFunction,
    z.looseObject({
      type: z.literal('allowed_tools'),
      allowed_tools: z.looseObject({ mode, tools: z.array(namedFunction).min(1) }),
    }),
  ],
  { error: 'must be none, auto, required, or name a function' },
);

export const givenTool = (given: z.output<z.ZodObject<typeof functionShape>>): FunctionTool => ({
  name: given.name,
  description: given.description ?? undefined,
  parameters: given.parameters ?? undefined,
  strict: given.strict ?? false,
});

/** A choice as either wire spells it, in one form. */
export type ToolChoice =
  | 'none'
  | 'auto'
  | 'required'
  | { mode: 'auto' | 'required'; names: readonly string[]; named?: boolean };

export function chatChoice(
  given: z.output<typeof chatToolChoice> | null | undefined,
): ToolChoice | undefined {
  if (given === null || given === undefined) return undefined;
  if (typeof given === 'string') return given;
  return given.type === 'function'
    ? { mode: 'required', names: [given.function.name], named: true }
    : { mode: given.allowed_tools.mode, names: given.allowed_tools.tools.map((one) => one.function.name) };
}

const wrong = (param: string, message: string): InkstoneError =>
  new InkstoneError('parameter_invalid', `'${param}': ${message}`, { kind: 'usage', details: { param } });

/** Undefined where nothing may be called. @throws InkstoneError `parameter_invalid` */
export function toolingOf(
  given: readonly FunctionTool[],
  choice: ToolChoice | undefined,
  parallel: boolean,
): Tooling | undefined {
  const twice = given.find((tool, i) => given.findIndex((other) => other.name === tool.name) < i);
  if (twice !== undefined) throw wrong('tools', `the function ${twice.name} is there twice`);
  if (given.length === 0) {
    if (choice !== undefined && choice !== 'none' && choice !== 'auto')
      throw wrong('tool_choice', 'there are no tools to choose from');
    return undefined;
  }
  if (choice === 'none') return undefined;
  if (choice === undefined || choice === 'auto') return { tools: given, choice: 'auto', parallel };
  if (choice === 'required') return { tools: given, choice, parallel };
  const tools = choice.names.map((wanted) => {
    const tool = given.find((one) => one.name === wanted);
    if (tool === undefined) throw wrong('tool_choice', `there is no function ${wanted} among the tools`);
    return tool;
  });
  return { tools, choice: choice.named === true ? 'named' : choice.mode, parallel };
}

/**
 * What tools make of an answer: one call and nothing else where it has to come; where it may come, calls that are held
 * to their schemas if a tool is strict, beside what the answer is held to otherwise.
 * @throws InkstoneError `schema_invalid`, `schema_unsupported`, `schema_unsatisfiable`
 */
export function callConstraint(
  { tools, choice, parallel }: Tooling,
  text: TextConstraint | undefined,
): TextConstraint | undefined {
  if (choice !== 'auto')
    return checked({ type: 'json_schema', schema: callSchema(tools.map(lenient)) }, 'tools');
  if (text === undefined && !tools.some(({ strict }) => strict)) return undefined;
  return checked(
    {
      ...{ type: 'tool_calls', open: CALL_OPEN, close: CALL_CLOSE, parallel },
      schema: callSchema(tools.map(lenient)),
      ...(text === undefined ? {} : { text }),
    },
    'tools',
  );
}

/** A schema that cannot be kept to is left to the model, unless keeping to it was asked for. */
function lenient(tool: FunctionTool): FunctionTool {
  if (tool.strict || tool.parameters === undefined) return tool;
  try {
    checked({ type: 'json_schema', schema: tool.parameters }, 'tools');
    return tool;
  } catch (thrown) {
    if (!InkstoneError.is(thrown) || thrown.code !== 'schema_unsupported') throw thrown;
    return { ...tool, parameters: { type: 'object' } };
  }
}

/** Each function's schema lies under `$defs`, so that references inside of it have to lead there. */
export function callSchema(tools: readonly FunctionTool[]): Record<string, unknown> {
  const place = (i: number): string => `#/$defs/${i}`;
  return {
    anyOf: tools.map((tool, i) => ({
      type: 'object',
      properties: { name: { const: tool.name }, arguments: { $ref: place(i) } },
      required: ['name', 'arguments'],
      additionalProperties: false,
    })),
    $defs: Object.fromEntries(
      tools.map(({ parameters }, i) => [
        String(i),
        moved(parameters ?? { type: 'object', properties: {}, additionalProperties: false }, place(i)),
      ]),
    ),
  };
}

function moved(schema: unknown, place: string): unknown {
  if (Array.isArray(schema)) return schema.map((one) => moved(one, place));
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [
      key,
      key === '$ref' && typeof value === 'string' && value.startsWith('#')
        ? `${place}${value.slice(1)}`
        : // What an enumeration holds is data.
          key === 'enum' || key === 'const' || key === 'default'
          ? value
          : moved(value, place),
    ]),
  );
}
