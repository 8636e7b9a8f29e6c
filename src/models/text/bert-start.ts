/**
 * Where a BERT begins, for small models that have minutes and not days. Some heads of the first layer start as
 * *duplicate-token heads*: each looks for the word that a token is, in one of the two sentences, and copies what it
 * finds, so that how much two passages share can be read off the mean of the tokens at once, and is learned from in
 * place of chance. Keys begin as queries and output as the transpose of value (mimetic initialisation, Trockman and
 * Kolter 2023, sections 3 and 4); duplicate-token heads are named in Wang et al. 2022, section 3.2.
 * Knows the network's parameters; everything that is not said here starts as `bertParameters` says.
 */
import { Random } from '../../base/rng.ts';
import type { HostTensor, HostTensors } from '../../base/tensor.ts';
import { initialise } from '../../nn/parameters.ts';
import { type BertConfig, bertParameters } from './bert.ts';

/** Deviations of words, places and segments: words are loud, so that what is alike is the word. */
const LOUD = { words: 0.2, places: 0.02, segments: 0.1 } as const;
/** How strongly a token looks at its like: the score is about `ALIKE² · √(width of a head)`. */
const ALIKE = 1.6;
/** How much more a head's own sentence scores than the other, in nats. */
const LEANING = 4;
/** Deviation of what later layers and the pooler pass on: the first token hears the mean of all at once. */
const PASSING = 0.08;

function normals(count: number, deviation: number, seed: number, name: string): Float32Array {
  const random = new Random(seed, `bert start ${name}`);
  return Float32Array.from({ length: count }, () => random.normal() * deviation);
}

/** Starting values for every parameter of the network. */
export function startBert(config: BertConfig, seed: number): HostTensors {
  const start = initialise(bertParameters(config), seed);
  if (config.matching === 0) return start;
  const { width, layers } = config;
  const values = (name: string): Float32Array => (start[name] as HostTensor<'f32'>).data;
  const redraw = (name: string, deviation: number): void => {
    const data = values(name);
    data.set(normals(data.length, deviation, seed, name));
  };
  redraw('bert.embeddings.word_embeddings.weight', LOUD.words);
  const places = values('bert.embeddings.position_embeddings.weight');
  for (let i = 0; i < places.length; i++)
    places[i] = LOUD.places * Math.SQRT2 * sinusoid(Math.floor(i / width), i % width, width);
  const side = oneDirection(width, seed);
  const segments = values('bert.embeddings.token_type_embeddings.weight');
  // Two sentences stand on either side of one direction.
  for (let i = 0; i < segments.length; i++)
    segments[i] =
      (Math.floor(i / width) % 2 === 0 ? 1 : -1) *
      LOUD.segments *
      Math.sqrt(width) *
      (side[i % width] as number);
  for (let head = 0; head < config.matching; head++) matchingHead(config, seed, { head, side, values });
  for (let layer = 1; layer < layers; layer++)
    for (const name of ['self.value', 'output.dense'])
      redraw(`bert.encoder.layer.${layer}.attention.${name}.weight`, PASSING);
  if (config.pooler) redraw('bert.pooler.dense.weight', PASSING);
  return start;
}

/** Vaswani et al. 2017, section 3.5. */
function sinusoid(place: number, column: number, width: number): number {
  const angle = place / 10000 ** ((column - (column % 2)) / width);
  return column % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
}

function oneDirection(width: number, seed: number): Float32Array {
  const drawn = normals(width, 1, seed, 'side');
  const length = Math.hypot(...drawn);
  return drawn.map((value) => value / length);
}

interface HeadCall {
  head: number;
  /** `[width]`, of length 1: along it the two sentences differ. */
  side: Float32Array;
  values(name: string): Float32Array;
}

/** Even heads look in the second sentence, odd ones in the first. */
function matchingHead(config: BertConfig, seed: number, { head, side, values }: HeadCall): void {
  const { width, heads } = config;
  const inner = width / heads;
  const at = 'bert.encoder.layer.0.attention';
  const query = values(`${at}.self.query.weight`);
  const key = values(`${at}.self.key.weight`);
  const value = values(`${at}.self.value.weight`);
  const output = values(`${at}.output.dense.weight`);
  const alike = normals(inner * width, ALIKE / Math.sqrt(width), seed, `alike ${head}`);
  const copied = normals(inner * width, 1 / Math.sqrt(width), seed, `copied ${head}`);
  const { words, places, segments } = LOUD;
  // Of a token after the first norm, along `side`.
  const reach = (Math.sqrt(width) * segments) / Math.hypot(words, places, segments);
  const leaning = (head % 2 === 0 ? -1 : 1) / reach;
  for (let row = 0; row < inner; row++) {
    let along = 0;
    for (let i = 0; i < width; i++) along += (alike[row * width + i] as number) * (side[i] as number);
    for (let i = 0; i < width; i++) {
      const from = row * width + i;
      const to = (head * inner + row) * width + i;
      // The first row tells the sentence; the others the word, whatever the sentence.
      const word = row === 0 ? 0 : (alike[from] as number) - along * (side[i] as number);
      query[to] = word;
      key[to] = row === 0 ? leaning * (side[i] as number) : word;
      value[to] = copied[from] as number;
      output[i * width + head * inner + row] = copied[from] as number;
    }
  }
  values(`${at}.self.query.bias`)[head * inner] = (LEANING / 2) * Math.sqrt(inner);
}
