/** Flags that say how a text is drawn, and what they make of a request. Knows no model. */
import type { SamplingSettings, TextConstraint } from '../base/contracts/generator.ts';
import { InkstoneError } from '../base/errors.ts';
import { readText } from '../base/host.ts';
import { z } from '../base/schema.ts';
import { constraintGrammar } from '../generate/index.ts';

const whole = z.number().int();
const own = { environment: false } as const;

export const decodingFlags = {
  temperature: z.number().min(0).max(10).default(0.8).describe('0 takes the most likely token').meta(own),
  topK: whole.min(0).default(0).describe('keep the k most likely tokens; 0 keeps all').meta(own),
  topP: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe('keep the likeliest that hold this probability')
    .meta(own),
  minP: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe("keep tokens with this share of the likeliest one's probability; 0 keeps all")
    .meta(own),
  repetitionPenalty: z
    .number()
    .gt(0)
    .max(10)
    .default(1)
    .describe('makes tokens of prompt and answer less likely; 1 changes nothing')
    .meta(own),
  presencePenalty: z
    .number()
    .min(-100)
    .max(100)
    .default(0)
    .describe("taken once from the scores of the answer's tokens")
    .meta(own),
  frequencyPenalty: z
    .number()
    .min(-100)
    .max(100)
    .default(0)
    .describe('the same for each time that they came')
    .meta(own),
  logitBias: z
    .array(z.string().regex(/^\d+=-?\d+(\.\d+)?$/, 'must be ID=BIAS, as 15=-100'))
    .default([])
    .describe('ID=BIAS, added to the score of a token; may be given several times')
    .meta(own),
  stop: z
    .array(z.string().min(1))
    .default([])
    .describe('end before this text; may be given several times')
    .meta(own),
  beams: whole
    .min(1)
    .max(64)
    .optional()
    .describe('look for the likeliest texts with so many beams instead of drawing one')
    .meta(own),
  lengthPenalty: z
    .number()
    .min(-10)
    .max(10)
    .default(1)
    .describe('of beams: a score is divided by the length to this power; above 1 favours long texts')
    .meta(own),
  n: whole
    .min(1)
    .max(64)
    .optional()
    .describe('of beams: how many texts to give, best first; otherwise the same as --count')
    .meta(own),
  jsonSchema: z
    .string()
    .min(1)
    .optional()
    .describe('file with a JSON Schema that the text is to fit')
    .meta(own),
  regex: z.string().min(1).optional().describe('pattern that the whole text is to match').meta(own),
};

export type DecodingSettings = z.output<z.ZodObject<typeof decodingFlags>>;

/** @throws InkstoneError `flags_conflict`, `file_missing`, `schema_invalid`, `schema_unsupported`, `schema_unsatisfiable` */
export async function samplingOf(
  given: DecodingSettings,
): Promise<Omit<SamplingSettings, 'maxTokens' | 'seed'>> {
  const { beams, lengthPenalty, n, jsonSchema, regex, logitBias, ...plain } = given;
  const constraint = await constraintOf(jsonSchema, regex);
  return {
    temperature: plain.temperature,
    topK: plain.topK,
    topP: plain.topP,
    stop: plain.stop,
    minP: plain.minP,
    repetitionPenalty: plain.repetitionPenalty,
    presencePenalty: plain.presencePenalty,
    frequencyPenalty: plain.frequencyPenalty,
    logitBias: Object.fromEntries(
      logitBias.map((one) => one.split('=')).map(([id, bias]) => [id, Number(bias)]),
    ),
    ...(beams === undefined ? {} : { beams: { width: beams, lengthPenalty, count: n ?? 1 } }),
    ...(constraint === undefined ? {} : { constraint }),
  };
}

async function constraintOf(
  file: string | undefined,
  regex: string | undefined,
): Promise<TextConstraint | undefined> {
  if (file !== undefined && regex !== undefined)
    throw new InkstoneError('flags_conflict', '--json-schema and --regex exclude each other', {
      kind: 'usage',
      hint: 'give one of them',
    });
  if (file === undefined && regex === undefined) return undefined;
  const constraint: TextConstraint =
    regex === undefined
      ? { type: 'json_schema', schema: await readSchema(file as string) }
      : { type: 'regex', pattern: regex };
  // Said before a model is loaded.
  constraintGrammar(constraint);
  return constraint;
}

async function readSchema(file: string): Promise<unknown> {
  const text = await readText(file);
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw new InkstoneError('schema_invalid', `${file} is no JSON: ${(thrown as Error).message}`, {
      kind: 'usage',
      hint: 'give a file with a JSON Schema',
    });
  }
}
