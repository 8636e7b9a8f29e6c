/** What an answer must be: `response_format` and vLLM's `structured_outputs`, checked before anything is generated. */
import type { TextConstraint } from '../base/contracts/generator.ts';
import { InkstoneError } from '../base/errors.ts';
import { z } from '../base/schema.ts';
import { constraintGrammar } from '../generate/index.ts';

/** OpenAI's. */
export const responseFormat = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('text') }),
  z.looseObject({ type: z.literal('json_object') }),
  z.looseObject({
    type: z.literal('json_schema'),
    json_schema: z.looseObject({
      name: z.string().min(1).max(64).optional(),
      description: z.string().nullish(),
      /** Documents are always held to the schema. */
      strict: z.boolean().nullish(),
      schema: z.record(z.string(), z.unknown()),
    }),
  }),
]);

/** vLLM's; one of these. */
export const structuredOutputs = z
  .strictObject({
    json: z.union([z.record(z.string(), z.unknown()), z.string()]).nullish(),
    regex: z.string().nullish(),
    json_object: z.boolean().nullish(),
  })
  .refine((given) => Object.values(given).filter((value) => value !== null && value !== false).length === 1, {
    message: 'give one of json, regex, json_object',
  });

/** @throws InkstoneError `parameter_invalid`, and what `checked` throws */
export function constraintOf(body: {
  response_format?: z.output<typeof responseFormat> | null | undefined;
  structured_outputs?: z.output<typeof structuredOutputs> | null | undefined;
}): TextConstraint | undefined {
  const { response_format: format, structured_outputs: structured } = body;
  const asked = format !== null && format !== undefined && format.type !== 'text';
  if (structured !== null && structured !== undefined) {
    if (asked)
      throw new InkstoneError(
        'parameter_invalid',
        "'structured_outputs' and 'response_format' exclude each other",
        {
          kind: 'usage',
          hint: 'send one of them',
          details: { param: 'structured_outputs' },
        },
      );
    const { json, regex } = structured;
    return checked(
      typeof regex === 'string'
        ? { type: 'regex', pattern: regex }
        : json === null || json === undefined
          ? { type: 'json_object' }
          : { type: 'json_schema', schema: typeof json === 'string' ? parsed(json) : json },
      'structured_outputs',
    );
  }
  if (!asked) return undefined;
  return checked(
    format.type === 'json_object'
      ? { type: 'json_object' }
      : { type: 'json_schema', schema: format.json_schema.schema },
    'response_format',
  );
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw new InkstoneError('parameter_invalid', "'structured_outputs.json' is no JSON", {
      kind: 'usage',
      details: { param: 'structured_outputs' },
    });
  }
}

/**
 * The same constraint, known to have a document.
 * @throws InkstoneError `schema_invalid`, `schema_unsupported`, `schema_unsatisfiable` with the parameter's name
 */
export function checked(constraint: TextConstraint, param: string): TextConstraint {
  try {
    constraintGrammar(constraint);
    return constraint;
  } catch (thrown) {
    // Brackets within brackets by the thousand: whatever walks them runs out of stack.
    if (thrown instanceof RangeError)
      throw new InkstoneError('constraint_too_deep', `'${param}' is nested too deeply`, {
        kind: 'usage',
        hint: 'write it flatter',
        details: { param },
      });
    const { code, message, kind, hint, details } = InkstoneError.from(thrown);
    throw new InkstoneError(code, message, {
      kind,
      cause: thrown,
      ...(hint === undefined ? {} : { hint }),
      details: { ...details, param },
    });
  }
}
