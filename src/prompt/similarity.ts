/**
 * How near texts are to a question: BM25 over runs of characters (Robertson and Zaragoza 2009), which needs no model
 * and no knowledge of a language, or the cosine of embeddings where somebody hands them in.
 */

/** Vectors of texts, one each; what makes them is the caller's. */
export type Embed = (texts: readonly string[]) => Promise<readonly ArrayLike<number>[]>;

/** How near each text is to the question; larger is nearer. */
export interface Similarity {
  readonly name: string;
  scores(question: string): Promise<Float64Array>;
}

const K1 = 1.2;
const B = 0.75;
/** Two and three characters: words of Chinese, stems and endings of European languages. */
const LENGTHS = [2, 3];

/** Runs of characters of a text in lower case, its ends marked by spaces. */
export function characterRuns(text: string): string[] {
  const all = Array.from(` ${text.toLowerCase().replace(/\s+/gu, ' ').trim()} `);
  return LENGTHS.flatMap((length) =>
    Array.from({ length: Math.max(0, all.length - length + 1) }, (_, i) => all.slice(i, i + length).join('')),
  );
}

function counted(runs: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const run of runs) counts.set(run, (counts.get(run) ?? 0) + 1);
  return counts;
}

/** BM25 with idf = ln(1 + (N − n + ½) / (n + ½)), which is never negative. */
export function bm25(texts: readonly string[]): Similarity {
  const documents = texts.map((text) => counted(characterRuns(text)));
  const sizes = documents.map((counts) => [...counts.values()].reduce((a, b) => a + b, 0));
  const mean = sizes.reduce((a, b) => a + b, 0) / Math.max(1, sizes.length);
  const having = new Map<string, number>();
  for (const counts of documents)
    for (const run of counts.keys()) having.set(run, (having.get(run) ?? 0) + 1);
  return {
    name: 'BM25 over character 2- and 3-grams',
    async scores(question) {
      const asked = new Set(characterRuns(question));
      return Float64Array.from(documents, (counts, i) => {
        let score = 0;
        for (const run of asked) {
          const count = counts.get(run);
          if (count === undefined) continue;
          const n = having.get(run) as number;
          const rarity = Math.log(1 + (texts.length - n + 0.5) / (n + 0.5));
          const length = 1 - B + (B * (sizes[i] as number)) / mean;
          score += (rarity * count * (K1 + 1)) / (count + K1 * length);
        }
        return score;
      });
    },
  };
}

function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += (a[i] as number) * (b[i] as number);
    aa += (a[i] as number) ** 2;
    bb += (b[i] as number) ** 2;
  }
  return dot / Math.max(Math.sqrt(aa * bb), 1e-12);
}

export async function byEmbedding(texts: readonly string[], embed: Embed): Promise<Similarity> {
  const known = texts.length === 0 ? [] : await embed(texts);
  return {
    name: 'cosine of embeddings',
    async scores(question) {
      const [asked] = await embed([question]);
      return Float64Array.from(known, (one) => cosine(asked as ArrayLike<number>, one));
    },
  };
}
