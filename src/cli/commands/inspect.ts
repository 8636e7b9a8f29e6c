/** `inkstone inspect`: how each token of a text surprises a model, and where its heads look. */
import type { TextInspection } from '../../base/contracts/inspection.ts';
import { readInput } from '../../base/host.ts';
import { z } from '../../base/schema.ts';
import { findModel } from '../../operate/registry.ts';
import { TextInspector } from '../../operate/text-inspector.ts';
import { createBackend } from '../../runtime/index.ts';
import { command } from '../command.ts';

const own = { environment: false } as const;
const whole = z.number().int();

const schema = z.object({
  model: z
    .string()
    .min(1)
    .describe('a run folder, a model folder, a Hugging Face folder or a registered name'),
  text: z.string().describe('the text to look at; - reads standard input').meta(own),
  top: whole.min(0).max(10).default(5).describe('likeliest tokens to name at each place').meta(own),
  attention: z
    .boolean()
    .default(false)
    .describe('with --json: also the attention of every layer and head')
    .meta(own),
  layer: whole.min(0).optional().describe('only this layer’s attention, counted from 0').meta(own),
  stride: whole
    .min(1)
    .optional()
    .describe(
      'tokens from one window to the next where the text is longer than the context; default half of it',
    )
    .meta(own),
  threads: whole.min(1).max(1024).optional().describe('compute threads; default: one per core'),
});

interface InspectResult {
  model: string;
  kind: TextInspection['kind'];
  mean_nats: number;
  perplexity: number;
  bits_per_byte: number;
  nats: number;
  predictions: number;
  tokens: {
    token: string;
    id: number;
    surprise: number | null;
    rank: number | null;
    top: { token: string; logprob: number }[];
  }[];
  attention?: { layer: number; heads: number[][][] }[];
}

/** `[heads][query][key]`, the shortest decimals that are the same to six digits. */
function nested(weights: Float32Array, heads: number, time: number): number[][][] {
  return Array.from({ length: heads }, (_, head) =>
    Array.from({ length: time }, (_, query) => {
      const at = (head * time + query) * time;
      return Array.from(weights.subarray(at, at + time), (value) => Number(value.toPrecision(6)));
    }),
  );
}

const shown = (token: string): string => JSON.stringify(token).slice(1, -1);

export const inspectCommand = command({
  name: 'inspect',
  summary: 'how each token of a text surprises a model, and where its heads look',
  description:
    'Surprise is −ln of a token’s probability given what comes before it; a BERT is asked for each token with that one hidden. ' +
    'The first token of a text has none. Attention is given for at most 256 tokens.',
  schema,
  positionals: ['model'],
  examples: [
    'inspect starter --text "It was a dark and stormy night."',
    'inspect runs-out/first --text "To be, or not to be" --attention --layer 0 --json',
  ],
  async run({ model, text, top, attention, layer, stride, threads }, { signal }): Promise<InspectResult> {
    const { id, folder } = await findModel(model);
    const given = text === '-' ? await readInput() : text;
    const backend = await createBackend('cpu', threads === undefined ? {} : { threads });
    try {
      const inspector = await TextInspector.open(folder, backend);
      const layers = layer !== undefined ? [layer] : attention ? 'all' : 'none';
      const found = await inspector.inspect({ text: given, top, layers, stride }, signal);
      const time = found.tokens.length;
      const mean = found.predictions === 0 ? Number.NaN : found.nats / found.predictions;
      return {
        model: id,
        kind: found.kind,
        mean_nats: mean,
        perplexity: Math.exp(mean),
        bits_per_byte: found.nats / Math.LN2 / found.bytes,
        nats: found.nats,
        predictions: found.predictions,
        tokens: found.tokens.map(({ token, id: number, surprise, rank, top: others }) => ({
          token,
          id: number,
          surprise: surprise ?? null,
          rank: rank ?? null,
          top: others.map(({ token: other, logprob }) => ({ token: other, logprob })),
        })),
        ...(found.attention.length === 0
          ? {}
          : {
              attention: found.attention.map(({ layer: number, heads, weights }) => ({
                layer: number,
                heads: nested(weights, heads, time),
              })),
            }),
      };
    } finally {
      await backend.close();
    }
  },
  show(result) {
    const most = Math.max(...result.tokens.map(({ surprise }) => surprise ?? 0), 1e-9);
    const lines = result.tokens.map(({ token, surprise, rank, top }) => {
      const mark = '█'.repeat(Math.round((12 * (surprise ?? 0)) / most)).padEnd(12);
      const number = surprise === null ? '     –' : surprise.toFixed(2).padStart(6);
      const place = rank === null ? '' : `#${rank}`;
      const others = top
        .slice(0, 3)
        .map((other) => `${shown(other.token)} ${(100 * Math.exp(other.logprob)).toFixed(0)}%`);
      return `${mark} ${number}  ${place.padEnd(6)} ${shown(token).padEnd(16)} ${others.join('  ')}`.trimEnd();
    });
    return [
      'surprise (nats)      rank   token            likeliest',
      ...lines,
      `mean ${result.mean_nats.toFixed(3)} nats, perplexity ${result.perplexity.toFixed(2)}, ${result.bits_per_byte.toFixed(3)} bits per byte`,
    ].join('\n');
  },
});
