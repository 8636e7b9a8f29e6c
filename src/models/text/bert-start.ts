/**
 * Where a BERT begins, for small models that have minutes and not days. Words and places stand in columns of their own,
 * and the heads of the first layer start with something to do: *matching heads* look for the word that a token is in one
 * of the two sentences (duplicate-token heads, Wang et al. 2022, section 3.2), the others look at the neighbour before
 * or behind (previous-token heads, section 3.3). So how much two passages share can be read off the mean of the tokens,
 * and a masked word's neighbours off its own place, from the first step on. Keys begin as queries and outputs as the
 * transpose of values, as in mimetic initialisation (Trockman and Kolter 2023, sections 3 and 4).
 * Knows the network's parameters; everything that is not said here starts as `bertParameters` says.
 */
import { Random } from '../../base/rng.ts';
import type { HostTensor, HostTensors } from '../../base/tensor.ts';
import { initialise } from '../../nn/parameters.ts';
import { type BertConfig, bertParameters } from './bert.ts';

/** Deviation of a word's and a place's numbers, in their columns, and of a segment's over the whole width. */
const LOUD = 0.2;
const SEGMENT = 0.1;
/** Part of the width that tells the place. */
const PLACES = 1 / 4;
/** How strongly a token looks at its like: a score of about `ALIKE² · √(width of a head)`. */
const ALIKE = 1.6;
/** How much more a matching head's own sentence scores than the other, in nats. */
const LEANING = 4;
/** How sharply a head looks at a neighbour: the score is `NEAR · √(width of a head)` there and less everywhere else. */
const NEAR = 4;
/** Size of a neighbour's word beside a token's own. */
const HEARD = 0.5;
/** Deviation of what later layers and the pooler pass on: the first token hears the mean of all at once. */
const PASSING = 0.08;

interface Start {
  config: BertConfig;
  /** Columns of the words; the places' follow. */
  words: number;
  /** `[width]`, of length 1, among the words' columns: along it the two sentences differ. */
  side: Float32Array;
  /** Deviation of a token's numbers before the first norm. */
  loudness: number;
  values(name: string): Float32Array;
  draw(name: string, count: number, deviation: number): Float32Array;
}

/** Starting values for every parameter of the network. */
export function startBert(config: BertConfig, seed: number): HostTensors {
  const made = initialise(bertParameters(config), seed);
  if (config.matching === 0) return made;
  const { width, layers, heads, matching } = config;
  const words = width - 2 * Math.round((width * PLACES) / 2);
  const draw: Start['draw'] = (name, count, deviation) => {
    const random = new Random(seed, `bert start ${name}`);
    return Float32Array.from({ length: count }, () => random.normal() * deviation);
  };
  const drawn = draw('side', width, 1).fill(0, words);
  const length = Math.hypot(...drawn);
  const start: Start = {
    ...{ config, words, draw },
    side: drawn.map((value) => value / length),
    loudness: Math.hypot(LOUD, SEGMENT),
    values: (name) => (made[`${name}.weight`] as HostTensor<'f32'>).data,
  };
  startEmbeddings(start);
  for (let head = 0; head < heads; head++) {
    if (head >= matching) neighbourHead(start, head, (head - matching) % 2 === 0 ? -1 : 1);
    else {
      matchingHead(start, head);
      const bias = made['bert.encoder.layer.0.attention.self.query.bias'] as HostTensor<'f32'>;
      bias.data[(head * width) / heads] = (LEANING / 2) * Math.sqrt(width / heads);
    }
  }
  const passed = Array.from(
    { length: layers - 1 },
    (_, i) => `bert.encoder.layer.${i + 1}.attention`,
  ).flatMap((at) => [`${at}.self.value`, `${at}.output.dense`]);
  for (const name of config.pooler ? [...passed, 'bert.pooler.dense'] : passed) {
    const data = start.values(name);
    data.set(draw(name, data.length, PASSING));
  }
  return made;
}

/** Waves a token of one of the places' pairs of columns: from about three tokens long to three hundred. */
const wave = (pair: number, pairs: number): number => 2 * 100 ** (-pair / pairs);

function startEmbeddings({ config: { width }, words, side, values, draw }: Start): void {
  const spoken = values('bert.embeddings.word_embeddings');
  spoken.set(draw('words', spoken.length, LOUD).map((value, i) => (i % width < words ? value : 0)));
  const places = values('bert.embeddings.position_embeddings');
  for (let i = 0; i < places.length; i++) {
    const column = (i % width) - words;
    const angle = Math.floor(i / width) * wave(column >> 1, (width - words) / 2);
    // A sine's mean square is one half.
    const sinusoid = Math.SQRT2 * (column % 2 === 0 ? Math.sin(angle) : Math.cos(angle));
    places[i] = column < 0 ? 0 : LOUD * sinusoid;
  }
  const segments = values('bert.embeddings.token_type_embeddings');
  for (let i = 0; i < segments.length; i++) {
    const sign = Math.floor(i / width) % 2 === 0 ? 1 : -1;
    segments[i] = sign * SEGMENT * Math.sqrt(width) * (side[i % width] as number);
  }
}

/** What the first layer's attention is made of, and where a head's rows begin. */
function headOf({ config: { width, heads }, values }: Start, head: number) {
  const at = 'bert.encoder.layer.0.attention';
  const rows = width / heads;
  return {
    rows,
    first: head * rows,
    query: values(`${at}.self.query`),
    key: values(`${at}.self.key`),
    value: values(`${at}.self.value`),
    output: values(`${at}.output.dense`),
  };
}

/** Even heads look in the second sentence, odd ones in the first. */
function matchingHead(start: Start, head: number): void {
  const { config, words, side, loudness, draw } = start;
  const { width } = config;
  const { rows, first, query, key, value, output } = headOf(start, head);
  const alike = draw(`alike ${head}`, rows * words, ALIKE / Math.sqrt(words));
  const copied = draw(`copied ${head}`, rows * words, 1 / Math.sqrt(words));
  // A token's place along `side` after the first norm is one reach to either side.
  const reach = (Math.sqrt(width) * SEGMENT) / loudness;
  const leaning = (head % 2 === 0 ? -1 : 1) / reach;
  for (let row = 0; row < rows; row++) {
    let along = 0;
    for (let i = 0; i < words; i++) along += (alike[row * words + i] as number) * (side[i] as number);
    for (let i = 0; i < width; i++) {
      const to = (first + row) * width + i;
      const out = i * width + first + row;
      if (i >= words) {
        query[to] = key[to] = value[to] = output[out] = 0;
        continue;
      }
      // The first row tells the sentence; the others the word, whatever the sentence.
      const word = row === 0 ? 0 : (alike[row * words + i] as number) - along * (side[i] as number);
      query[to] = word;
      key[to] = row === 0 ? leaning * (side[i] as number) : word;
      value[to] = output[out] = copied[row * words + i] as number;
    }
  }
}

/** Looks `shift` places on: the query is the key of that place, which a rotation of each pair of columns makes. */
function neighbourHead(start: Start, head: number, shift: number): void {
  const { config, words, loudness, draw } = start;
  const { width } = config;
  const { rows, first, query, key, value, output } = headOf(start, head);
  const spoken = draw(`spoken ${head}`, rows * words, 1 / Math.sqrt(words));
  const heard = draw(`heard ${head}`, rows * words, HEARD / Math.sqrt(rows));
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < width; i++) {
      const to = (first + row) * width + i;
      query[to] = key[to] = 0;
      value[to] = i < words ? (spoken[row * words + i] as number) : 0;
      output[i * width + first + row] = i < words ? (heard[row * words + i] as number) : 0;
    }
  }
  const pairs = (width - words) / 2;
  const gain = Math.sqrt(NEAR) / (LOUD / loudness);
  for (let pair = 0; pair < Math.min(pairs, rows >> 1); pair++) {
    const angle = shift * wave(pair, pairs);
    const [cosine, sine] = [gain * Math.cos(angle), gain * Math.sin(angle)];
    const at = (first + 2 * pair) * width + words + 2 * pair;
    query[at] = query[at + width + 1] = cosine;
    query[at + 1] = sine;
    query[at + width] = -sine;
    key[at] = key[at + width + 1] = gain;
  }
}
