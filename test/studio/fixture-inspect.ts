/** A made-up but repeatable inspection: tokens of up to five letters, surprises by a formula, attention that fades. */

const LAYERS = 3;
const HEADS = 4;

interface FixtureInspection {
  text: string;
  attention?: boolean;
  model?: string;
}

function mapOf(layer: number, head: number, time: number): Float32Array {
  const map = new Float32Array(time * time);
  for (let query = 0; query < time; query += 1) {
    const raw = Array.from({ length: query + 1 }, (_, key) => {
      if (head === 0) return key === 0 ? 12 : 1 / (1 + query - key);
      if (head === 1) return key === Math.max(0, query - 1) ? 20 : 0.2;
      return Math.exp(-((query - key) * (head - 1)) / (2 + layer)) + (key % (head + 2) === 0 ? 0.6 : 0);
    });
    const total = raw.reduce((a, b) => a + b, 0);
    raw.forEach((value, key) => {
      map[query * time + key] = value / total;
    });
  }
  return map;
}

export function inspection({ text, attention, model }: FixtureInspection): object {
  const pieces = text.match(/ ?[^\s]{1,5}|\s/gu) ?? [];
  const named = (token: string) => ({ token, bytes: [...Buffer.from(token)] });
  const tokens = pieces.map((piece, at) => {
    const surprise = at === 0 ? null : [0.2, 1.4, 3.1, 0.7, 5.2, 7.9, 2.2][(at * 5) % 7];
    const chance = Math.exp(-(surprise ?? 0));
    const rank = surprise === null ? null : chance > 0.5 ? 1 : Math.ceil(surprise ?? 0) ** 2;
    const others = [' the', ' and', '\n', ' a'].filter((other) => other !== piece);
    const own = { ...named(piece), logprob: -(surprise ?? 0) };
    const guesses = others.map((other, i) => ({
      ...named(other),
      logprob: Math.log((rank === 1 ? (1 - chance) * 0.4 : 0.4) / (i + 1)),
    }));
    const top = surprise === null ? [] : rank === 1 ? [own, ...guesses] : guesses;
    return { id: at, ...named(piece), text: piece, surprise, rank, top_logprobs: top };
  });
  const judged = tokens.filter(({ surprise }) => surprise !== null);
  const nats = judged.reduce((total, { surprise }) => total + (surprise ?? 0), 0);
  const bytes = judged.reduce((total, token) => total + token.bytes.length, 0);
  const mean = judged.length === 0 ? null : nats / judged.length;
  const layers = Array.from({ length: LAYERS }, (_, layer) => {
    const all = Buffer.concat(
      Array.from({ length: HEADS }, (_, head) => Buffer.from(mapOf(layer, head, tokens.length).buffer)),
    );
    return { layer, heads: HEADS, weights: all.toString('base64') };
  });
  return {
    object: 'inspection',
    model,
    kind: 'causal',
    tokens,
    nats,
    predictions: judged.length,
    bytes,
    mean_nats: mean,
    perplexity: mean === null ? null : Math.exp(mean),
    bits_per_byte: bytes === 0 ? null : nats / Math.LN2 / bytes,
    attention: attention === true ? { format: 'base64', layers } : null,
  };
}
