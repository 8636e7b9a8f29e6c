/**
 * Looks inside a text model: a text's tokens with their surprise, rank and alternatives, and where each head looks.
 * Knows windows, masks and tokens; knows neither HTTP nor processes.
 */
import type { TokenProbability } from '../base/contracts/generator.ts';
import type {
  InspectedToken,
  InspectionRequest,
  LayerAttention,
  TextInspection,
} from '../base/contracts/inspection.ts';
import { InkstoneError } from '../base/errors.ts';
import { type HostTensor, type HostTensors, tensor } from '../base/tensor.ts';
import { StreamDecoder } from '../data/tokenizer/tokenizer.ts';
import { WORDPIECE_SPECIAL, WordPieceTokenizer } from '../data/tokenizer/wordpiece.ts';
import { type AnyTextConfig, isBert } from '../models/text/any.ts';
import type { TextConfig } from '../models/text/architectures.ts';
import type { BertConfig } from '../models/text/bert.ts';
import { bertAttention, bertInspect, decoderInspect } from '../models/text/inspect-programs.ts';
import { loadAnyTextModel, type TextModel } from '../models/text/load.ts';
import type { Program } from '../program/types.ts';
import type { Backend, Executable } from '../runtime/contract.ts';

/** Tokens of a text whose attention is shown: a map grows with their square. */
export const MOST_ATTENDED = 256;
/** Tokens of a text that is only judged. */
export const MOST_JUDGED = 4096;
/** Scores that one run may make: tokens of a window times vocabulary. */
const MOST_SCORES = 64e6;
/** Rows of a BERT's sentence, each with another token hidden, in one run. */
const MASKED_AT_ONCE = 16;

const i32 = (shape: readonly number[], values: ArrayLike<number>): HostTensor =>
  tensor('i32', shape, Int32Array.from(values));

/** What is known of each token's place; undefined where nothing was asked of it. */
interface Judgement {
  surprise: number;
  rank: number;
  top: TokenProbability[];
}

export class TextInspector {
  readonly model: TextModel<AnyTextConfig>;
  private readonly backend: Backend;
  private readonly compiled = new Map<string, Promise<Executable>>();

  constructor(model: TextModel<AnyTextConfig>, backend: Backend) {
    this.model = model;
    this.backend = backend;
  }

  /** @throws InkstoneError from loading */
  static async open(folder: string, backend: Backend): Promise<TextInspector> {
    return new TextInspector(await loadAnyTextModel(folder), backend);
  }

  /** @throws InkstoneError `character_unknown` */
  countTokens(text: string): number {
    return this.model.tokenizer.encode(text).length;
  }

  /** @throws InkstoneError `text_empty`, `text_too_long`, `layer_invalid`, `character_unknown` */
  async inspect(request: InspectionRequest, signal?: AbortSignal): Promise<TextInspection> {
    const { config } = this.model;
    const layers = this.layersOf(request);
    const ids = this.encode(request.text);
    const attended = layers.length > 0;
    const limit = attended
      ? Math.min(MOST_ATTENDED, config.context)
      : isBert(config)
        ? Math.min(MOST_ATTENDED, config.context)
        : MOST_JUDGED;
    if (ids.length > limit)
      throw new InkstoneError('text_too_long', `the text has ${ids.length} tokens, ${limit} are looked at`, {
        kind: 'usage',
        hint: attended && !isBert(config) ? 'shorten it, or ask for no attention' : 'shorten it',
        details: { param: 'text', tokens: ids.length, limit },
      });
    const { judged, attention } = isBert(config)
      ? await this.readMasked(config, ids, layers, request.top, signal)
      : await this.readCausal(config, ids, layers, request, signal);
    const tokens = this.describe(ids, judged);
    const predicted = tokens.filter((token) => token.surprise !== undefined);
    return {
      tokens,
      attention,
      nats: predicted.reduce((total, { surprise }) => total + (surprise as number), 0),
      predictions: predicted.length,
      bytes: predicted.reduce((total, { bytes }) => total + bytes.length, 0),
      kind: isBert(config) ? 'masked' : 'causal',
    };
  }

  async close(): Promise<void> {
    const all = [...this.compiled.values()];
    this.compiled.clear();
    for (const executable of all) await (await executable).free();
  }

  private layersOf({ layers }: InspectionRequest): number[] {
    const { config } = this.model;
    if (layers === 'none') return [];
    if (layers === 'all') return Array.from({ length: config.layers }, (_, layer) => layer);
    const wrong = layers.find((layer) => !Number.isInteger(layer) || layer < 0 || layer >= config.layers);
    if (wrong === undefined) return [...new Set(layers)].sort((a, b) => a - b);
    throw new InkstoneError('layer_invalid', `the model has no layer ${wrong}`, {
      kind: 'usage',
      hint: `layers go from 0 to ${config.layers - 1}`,
      details: { param: 'layers' },
    });
  }

  private encode(text: string): number[] {
    const { tokenizer } = this.model;
    const ids = tokenizer.encode(text);
    if (ids.length === 0)
      throw new InkstoneError('text_empty', 'the text has no token', {
        kind: 'usage',
        hint: 'give a text',
        details: { param: 'text' },
      });
    if (!(tokenizer instanceof WordPieceTokenizer)) return ids;
    return [tokenizer.special('[CLS]'), ...ids, tokenizer.special('[SEP]')];
  }

  private program(name: string, make: () => Program): Promise<Executable> {
    const made = this.compiled.get(name) ?? this.backend.compile(make(), { constants: this.model.weights });
    this.compiled.set(name, made);
    made.catch(() => this.compiled.delete(name));
    return made;
  }

  /**
   * Windows of the model's context, each but the first beginning `stride` tokens after the one before; a token is
   * judged in the first window that has it, so that it is judged once.
   */
  private async readCausal(
    config: TextConfig,
    ids: readonly number[],
    layers: readonly number[],
    { top, stride }: InspectionRequest,
    signal: AbortSignal | undefined,
  ): Promise<{ judged: (Judgement | undefined)[]; attention: LayerAttention[] }> {
    const attend = layers.length > 0;
    const executable = await this.program(attend ? 'attention' : 'judge', () =>
      decoderInspect(config, { attention: attend }),
    );
    const window = Math.min(config.context, Math.max(64, Math.floor(MOST_SCORES / config.vocabulary)));
    const step = Math.min(window, Math.max(1, stride ?? Math.floor(window / 2)));
    const judged = new Array<Judgement | undefined>(ids.length).fill(undefined);
    let attention: LayerAttention[] = [];
    let done = 1;
    for (let start = 0; start === 0 || done < ids.length; start += step) {
      signal?.throwIfAborted();
      const tokens = ids.slice(start, start + window);
      const targets = tokens.map((_, i) => ids[start + i + 1] ?? 0);
      const shape = [1, tokens.length];
      const found = await executable.run({
        inputs: { tokens: i32(shape, tokens), targets: i32(shape, targets) },
        fetch: [...JUDGED, ...layers.map((layer) => `attention.${layer}`)],
      });
      for (; done <= start + tokens.length && done < ids.length; done++)
        judged[done] = this.judgement(found, done - start - 1, top);
      if (start === 0) attention = attentionOf(found, layers);
    }
    return { judged, attention };
  }

  /** Each token between the marks hidden in turn. */
  private async readMasked(
    config: BertConfig,
    ids: readonly number[],
    layers: readonly number[],
    top: number,
    signal: AbortSignal | undefined,
  ): Promise<{ judged: (Judgement | undefined)[]; attention: LayerAttention[] }> {
    const time = ids.length;
    const sentences = (rows: readonly (readonly number[])[]): HostTensors => ({
      tokens: i32([rows.length, time], rows.flat()),
      segments: i32([rows.length, time], new Int32Array(rows.length * time)),
      length: i32([rows.length], new Int32Array(rows.length).fill(time)),
    });
    let attention: LayerAttention[] = [];
    if (layers.length > 0) {
      const look = await this.program('attention', () => bertAttention(config));
      const fetch = layers.map((layer) => `attention.${layer}`);
      attention = attentionOf(await look.run({ inputs: sentences([ids]), fetch }), layers);
    }
    const judged = new Array<Judgement | undefined>(time).fill(undefined);
    if (!config.masked) return { judged, attention };
    const mask = (this.model.tokenizer as WordPieceTokenizer).special('[MASK]');
    const executable = await this.program('judge', () => bertInspect(config));
    for (let first = 1; first < time - 1; first += MASKED_AT_ONCE) {
      signal?.throwIfAborted();
      const places = Array.from({ length: Math.min(MASKED_AT_ONCE, time - 1 - first) }, (_, i) => first + i);
      const rows = places.map((place) => ids.map((id, at) => (at === place ? mask : id)));
      const found = await executable.run({
        inputs: {
          ...sentences(rows),
          places: i32([places.length], places),
          targets: i32(
            [places.length],
            places.map((place) => ids[place] as number),
          ),
        },
      });
      places.forEach((place, row) => {
        judged[place] = this.judgement(found, row, top);
      });
    }
    return { judged, attention };
  }

  private judgement(found: HostTensors, row: number, top: number): Judgement {
    const { data: names, shape } = found.top_tokens as HostTensor<'i32'>;
    const values = (found.top_logprobs as HostTensor<'f32'>).data;
    const k = shape[1] as number;
    return {
      surprise: (found.surprise as HostTensor<'f32'>).data[row] as number,
      rank: (found.rank as HostTensor<'i32'>).data[row] as number,
      top: Array.from({ length: Math.min(top, k) }, (_, i) => ({
        ...this.named(names[row * k + i] as number),
        logprob: values[row * k + i] as number,
      })),
    };
  }

  private named(id: number): { token: string; bytes: number[] } {
    const { tokenizer } = this.model;
    const bytes = [...tokenizer.bytes(id)];
    if (bytes.length > 0) return { token: new TextDecoder().decode(Uint8Array.from(bytes)), bytes };
    const mark =
      tokenizer instanceof WordPieceTokenizer
        ? WORDPIECE_SPECIAL.find((name) => tokenizer.special(name) === id)
        : undefined;
    return { token: mark ?? (id === tokenizer.endOfText ? '<|endoftext|>' : `<${id}>`), bytes };
  }

  private describe(ids: readonly number[], judged: readonly (Judgement | undefined)[]): InspectedToken[] {
    const stream = new StreamDecoder(this.model.tokenizer);
    return ids.map((id, at) => {
      const text = stream.push(id) + (at === ids.length - 1 ? stream.end() : '');
      const known = judged[at];
      return {
        id,
        ...this.named(id),
        text,
        ...(known === undefined ? {} : { surprise: known.surprise, rank: known.rank }),
        top: known?.top ?? [],
      };
    });
  }
}

const JUDGED = ['surprise', 'rank', 'top_logprobs', 'top_tokens'] as const;

function attentionOf(found: HostTensors, layers: readonly number[]): LayerAttention[] {
  return layers.map((layer) => {
    const { shape, data } = found[`attention.${layer}`] as HostTensor<'f32'>;
    return { layer, heads: shape[1] as number, weights: data };
  });
}
