/** The post-processors of tokenizer.json: the tokens that stand before and after one text. Knows no model. */
import { z } from 'zod';
import { invalidFile, unsupportedPart } from './errors.ts';

export interface Frame {
  prefix: readonly number[];
  suffix: readonly number[];
}

const pair = z.tuple([z.string(), z.number().int().min(0)]);
const template = z.object({
  single: z.array(
    z.union([
      z.object({ SpecialToken: z.object({ id: z.string() }) }),
      z.object({ Sequence: z.object({ id: z.string() }) }),
    ]),
  ),
  special_tokens: z.record(z.string(), z.object({ ids: z.array(z.number().int().min(0)) })).default({}),
});

function ofTemplate(raw: unknown): Frame {
  const { single, special_tokens } = template.parse(raw);
  const prefix: number[] = [];
  const suffix: number[] = [];
  let before = true;
  for (const item of single) {
    if ('Sequence' in item) {
      before = false;
      continue;
    }
    const special = special_tokens[item.SpecialToken.id];
    if (special === undefined)
      throw invalidFile(`its template names ${item.SpecialToken.id}, which it does not have`);
    (before ? prefix : suffix).push(...special.ids);
  }
  return { prefix, suffix };
}

/** @throws InkstoneError `tokenizer_invalid`, `tokenizer_unsupported`; ZodError */
export function frameOf(raw: unknown, vocabulary: ReadonlyMap<string, number>, depth = 0): Frame {
  if (raw === null || raw === undefined) return { prefix: [], suffix: [] };
  const { type } = z.looseObject({ type: z.string() }).parse(raw);
  switch (type) {
    case 'ByteLevel':
      return { prefix: [], suffix: [] };
    case 'TemplateProcessing':
      return ofTemplate(raw);
    case 'BertProcessing':
    case 'RobertaProcessing': {
      const { sep, cls } = z.object({ sep: pair, cls: pair }).parse(raw);
      return { prefix: [cls[1]], suffix: [sep[1]] };
    }
    case 'Sequence': {
      if (depth > 8) throw unsupportedPart('a post-processor of sequences within sequences');
      const parts = z.object({ processors: z.array(z.unknown()).max(64) }).parse(raw).processors;
      const all = parts.map((part) => frameOf(part, vocabulary, depth + 1));
      return {
        prefix: all.flatMap((frame) => frame.prefix),
        suffix: all.flatMap((frame) => frame.suffix),
      };
    }
    default:
      throw unsupportedPart(`the post-processor ${type}`);
  }
}
