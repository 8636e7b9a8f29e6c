/** `inkstone generate`: continues a prompt with a text model, streamed for people; makes pictures with an image model. */
import { randomInt } from 'node:crypto';
import { InkstoneError } from '../../base/errors.ts';
import { monotonic, readInput } from '../../base/host.ts';
import { z } from '../../base/schema.ts';
import { familyOf } from '../../models/image/load.ts';
import { WEIGHT_FORMATS } from '../../nn/quantise.ts';
import { openGenerator } from '../../operate/open-generator.ts';
import { findModel } from '../../operate/registry.ts';
import type { TextGenerator } from '../../operate/text-generator.ts';
import { PROVIDER } from '../../operate/watch/request-meter.ts';
import { type CommandContext, command } from '../command.ts';
import { decodingFlags, samplingOf } from '../decoding-flags.ts';
import { type GenerateImageResult, generateImages, imageFlags } from '../generate-image.ts';

const whole = z.number().int();
const own = { environment: false } as const;

const schema = z.object({
  model: z.string().min(1).describe('a run folder, a model folder, a GGUF file or a registered name'),
  prompt: z
    .string()
    .default('')
    .describe('the text to go on from; - reads standard input; nothing begins a new text')
    .meta({ ...own, alias: 'p' }),
  tokens: whole.min(1).max(1_000_000).default(200).describe('at most this many new tokens').meta(own),
  seed: whole
    .min(0)
    .optional()
    .describe('the same seed gives the same text; default: drawn, and reported')
    .meta(own),
  ...decodingFlags,
  count: whole.min(1).max(100_000).default(1).describe('texts or pictures, with seeds one apart').meta(own),
  ...imageFlags,
  weights: z
    .enum(WEIGHT_FORMATS)
    .default('float32')
    .describe('how the weights are kept: int8 and int4 are smaller and faster, and cost a little quality'),
  device: z.enum(['cpu', 'webgpu']).default('cpu').describe('where the arithmetic runs'),
  threads: whole.min(1).max(1024).optional().describe('compute threads; default: one per core'),
});
type Settings = z.output<typeof schema>;

interface Sample {
  text: string;
  tokens: number;
  prompt_tokens: number;
  seed: number;
  finish_reason: string;
  tokens_per_second: number;
  /** Of beams. */
  score?: number;
}

interface GenerateResult extends Sample {
  model: string;
  /** All texts, where more than one was asked for; of beams the best first. */
  samples?: Sample[];
}

type Sampling = Awaited<ReturnType<typeof samplingOf>> & { maxTokens: number };

/** One text, or all that beams found; `onText` sees each piece as it comes. */
async function write(
  generator: Pick<TextGenerator, 'generate'>,
  prompt: string,
  sampling: Sampling & { seed: number },
  signal: AbortSignal,
  onText: (text: string) => void,
): Promise<Sample[]> {
  const { seed } = sampling;
  const request = { id: `generate-${seed}`, prompt, sampling };
  const sample: Sample = {
    text: '',
    tokens: 0,
    prompt_tokens: 0,
    seed,
    finish_reason: 'cancelled',
    tokens_per_second: 0,
  };
  let others: Pick<Sample, 'text' | 'tokens' | 'finish_reason' | 'score'>[] = [];
  const begun = monotonic();
  for await (const event of generator.generate(request, signal)) {
    if (event.type === 'start') sample.prompt_tokens = event.promptTokens;
    else if (event.type === 'delta') {
      sample.text += event.text;
      onText(event.text);
    } else {
      sample.finish_reason = event.reason;
      sample.tokens = event.completionTokens;
      if (event.score !== undefined) sample.score = event.score;
      others = (event.others ?? []).map(({ text, completionTokens, reason, score }) => ({
        ...{ text, tokens: completionTokens, finish_reason: reason, score },
      }));
    }
  }
  const seconds = (monotonic() - begun) / 1000;
  sample.tokens_per_second = Math.round(sample.tokens / Math.max(seconds, 1e-6));
  return [sample, ...others.map((other) => ({ ...sample, ...other }))];
}

/** Texts to write, each from its own seed: beams find all of theirs at once. */
function countOf({ count, n, beams }: Settings): number {
  if (beams === undefined) return n ?? count;
  if (count === 1) return 1;
  throw new InkstoneError('flags_conflict', '--count is for texts that are drawn', {
    kind: 'usage',
    hint: 'give --n to get more of the texts that beams find',
  });
}

async function run(
  settings: Settings,
  context: CommandContext,
): Promise<GenerateResult | GenerateImageResult> {
  const { id, folder } = await findModel(settings.model);
  if ((await familyOf(folder)) === 'image') return generateImages({ id, folder }, settings, context);
  const count = countOf(settings);
  const sampling = { ...(await samplingOf(settings)), maxTokens: settings.tokens };
  const prompt = settings.prompt === '-' ? await readInput() : settings.prompt;
  const seed = settings.seed ?? randomInt(2 ** 31);
  // People read one text as it comes; several at once would mix.
  const many = Math.min(count, context.json ? 8 : 1);
  const { device, weights, threads } = settings;
  const generator = await openGenerator(folder, {
    ...{
      device,
      weights,
      maxBatch: settings.beams ?? many,
      note: (line: string) => context.progress.note(line),
    },
    ...(threads === undefined ? {} : { threads }),
  });
  try {
    const samples = new Array<Sample[]>(count);
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let i = next++; i < count && !context.signal.aborted; i = next++) {
        if (i > 0) context.stream('\n\n---\n\n');
        context.stream(prompt);
        const own = { ...sampling, seed: seed + i };
        samples[i] = await write(generator, prompt, own, context.signal, context.stream);
      }
    };
    await Promise.all(Array.from({ length: many }, worker));
    context.stream('\n');
    const made = samples.filter((sample) => sample !== undefined).flat();
    for (const { text } of settings.beams === undefined ? [] : made.slice(1))
      context.stream(`\n---\n\n${prompt}${text}\n`);
    const [first] = made;
    if (first === undefined)
      throw new InkstoneError('cancelled', 'stopped before the first token', { kind: 'conflict' });
    context.span?.set({
      'gen_ai.operation.name': 'text_completion',
      'gen_ai.provider.name': PROVIDER,
      'gen_ai.request.model': id,
      'gen_ai.usage.input_tokens': first.prompt_tokens,
      'gen_ai.usage.output_tokens': made.reduce((sum, { tokens }) => sum + tokens, 0),
      'gen_ai.response.finish_reasons': made.map(({ finish_reason }) => finish_reason),
    });
    return { ...first, model: id, ...(made.length === 1 ? {} : { samples: made }) };
  } finally {
    await generator.close();
  }
}

export const generateCommand = command({
  name: 'generate',
  summary: 'continue a text, or make pictures, with a model',
  description:
    'Text appears as it is written; pictures become files with what made them written into them. The same model, prompt, settings and seed give the same text, alone or beside others.',
  schema,
  positionals: ['model'],
  examples: [
    'generate starter --prompt "It was a dark night"',
    'generate runs-out/first --prompt "ROMEO:" --tokens 200 --seed 7 --json',
    'generate ./small.gguf --prompt "The capital of France is"',
    'generate runs-out/first --count 3 --temperature 0.9 --top-p 0.95 --stop "THE END"',
    'generate starter --prompt "He said" --beams 4 --n 2 --length-penalty 0.6',
    'generate starter --json-schema person.json --tokens 120',
    'generate runs-out/mnist-cgan-1 --label 7 --count 16 --out sevens/',
    'generate runs-out/mnist-cgan-1 --count 10000 --out samples.npz',
  ],
  run,
  show: (result) =>
    'text' in result ? undefined : `${result.count} pictures in ${result.out} (seed ${result.seed})`,
});
