/** What a unigram and a Witten–Bell bigram of tokens lose on the same masked places as a BERT. */
import type { HostTensor } from '../src/base/tensor.ts';
import type { PairKind, PretrainingPairs, PretrainingShape } from '../src/data/text/pretraining.ts';
import type { SentenceCorpus } from '../src/data/text/sentences.ts';

/**
 * Nats per masked token; the bigram sees the left neighbour as it stands in the disguised text.
 * @param judged pairs of each kind
 */
export function bigramLoss(
  learning: SentenceCorpus,
  pairs: PretrainingPairs,
  shape: PretrainingShape,
  judged: number,
  vocabulary: number,
): { unigram: number; bigram: number } {
  const single = new Float64Array(vocabulary);
  const double = new Map<number, number>();
  const kinds = new Float64Array(vocabulary);
  const after = new Float64Array(vocabulary);
  const { ids } = learning;
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] as number;
    single[id] = (single[id] as number) + 1;
    if (i === 0) continue;
    const before = ids[i - 1] as number;
    const key = before * vocabulary + id;
    const count = double.get(key) ?? 0;
    double.set(key, count + 1);
    if (count === 0) kinds[before] = (kinds[before] as number) + 1;
    after[before] = (after[before] as number) + 1;
  }
  // Every token has been seen half a time more than it was.
  const p1 = (id: number): number => ((single[id] as number) + 0.5) / (ids.length + 0.5 * vocabulary);
  const p2 = (before: number, id: number): number => {
    const [all, different] = [after[before] as number, kinds[before] as number];
    if (all === 0) return p1(id);
    return ((double.get(before * vocabulary + id) ?? 0) + different * p1(id)) / (all + different);
  };
  let [unigram, bigram, count] = [0, 0, 0];
  for (const kind of ['follows', 'other book', 'same book'] as const satisfies PairKind[]) {
    for (let number = 0; number * shape.batch < judged; number++) {
      const batch = pairs.judging(shape, 7, number, kind);
      const data = (name: string): Int32Array => (batch[name] as HostTensor<'i32'>).data;
      const weights = (batch.weights as HostTensor<'f32'>).data;
      weights.forEach((weight, i) => {
        if (weight === 0) return;
        const label = data('labels')[i] as number;
        const before = data('tokens')[(data('places')[i] as number) - 1] as number;
        unigram -= Math.log(p1(label));
        bigram -= Math.log(p2(before, label));
        count += 1;
      });
    }
  }
  return { unigram: unigram / count, bigram: bigram / count };
}
