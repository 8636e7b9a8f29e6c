/**
 * How a model's hidden states become one vector: what its folder says, in our words or in sentence-transformers'.
 * Knows files; the programs are in embedding-programs.ts.
 */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { exists, readText } from '../../base/host.ts';

/**
 * `mean` of the tokens that count, the `first` token's state, the `last` one's, or `pooler`: BERT's tanh layer over
 * the first.
 */
export const poolingName = z.enum(['mean', 'first', 'last', 'pooler']);
export type Pooling = z.infer<typeof poolingName>;

const theirs = z.looseObject({
  pooling_mode_cls_token: z.boolean().default(false),
  pooling_mode_mean_tokens: z.boolean().default(false),
  pooling_mode_lasttoken: z.boolean().default(false),
});
const modules = z.array(z.looseObject({ type: z.string(), path: z.string() }));

/**
 * Of a folder as sentence-transformers writes it (`modules.json`, `1_Pooling/config.json`); `mean` where it says
 * nothing. @throws InkstoneError `model_invalid`, `pooling_unsupported`
 */
export async function readPooling(folder: string): Promise<Pooling> {
  const file = `${folder}/${await poolingFolder(folder)}/config.json`;
  if (!(await exists(file))) return 'mean';
  const read = theirs.safeParse(await readJson(file));
  if (!read.success)
    throw new InkstoneError('model_invalid', `${file}: ${z.prettifyError(read.error)}`, { kind: 'data' });
  const { pooling_mode_cls_token, pooling_mode_mean_tokens, pooling_mode_lasttoken, ...rest } = read.data;
  const others = Object.entries(rest).filter(
    ([name, value]) => name.startsWith('pooling_mode_') && value === true,
  );
  const chosen = [
    ...(pooling_mode_mean_tokens ? (['mean'] as const) : []),
    ...(pooling_mode_cls_token ? (['first'] as const) : []),
    ...(pooling_mode_lasttoken ? (['last'] as const) : []),
  ];
  const [only] = chosen;
  if (only !== undefined && chosen.length === 1 && others.length === 0) return only;
  throw new InkstoneError('pooling_unsupported', `${file} asks for another way to make a vector`, {
    kind: 'unsupported',
    hint: 'the mean, the first token or the last token is known, one of them',
  });
}

/** Where `modules.json` puts it; it must not lead out of the folder. */
async function poolingFolder(folder: string): Promise<string> {
  const file = `${folder}/modules.json`;
  if (!(await exists(file))) return '1_Pooling';
  const read = modules.safeParse(await readJson(file));
  const path = read.success ? read.data.find(({ type }) => type.endsWith('Pooling'))?.path : undefined;
  return path !== undefined && /^[\w-]+$/.test(path) ? path : '1_Pooling';
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readText(file));
  } catch (cause) {
    throw new InkstoneError('model_invalid', `${file} is not JSON`, { kind: 'data', cause });
  }
}
