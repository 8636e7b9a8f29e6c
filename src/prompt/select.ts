/** Which examples a prompt shows for a question: the first, drawn ones, or the nearest. Knows rows, no text. */
import { Random } from '../base/rng.ts';
import { bm25, byEmbedding, type Embed, type Similarity } from './similarity.ts';
import { textOfValue } from './template.ts';
import type { Values } from './variables.ts';

export const SELECTIONS = ['fixed', 'random', 'similar'] as const;
export type Selection = (typeof SELECTIONS)[number];

export interface ExamplePool {
  rows: readonly Values[];
  /** Examples that a prompt shows. */
  count: number;
  /** `fixed`: the first, in order. `random`: drawn anew for each question. `similar`: the nearest, the nearest last. */
  select: Selection;
  /** The field that is compared. */
  by?: string | undefined;
  seed: number;
}

export interface Question {
  values: Values;
  /** Which question it is: another one draws other examples. */
  number?: number;
}

export class ExampleSelector {
  private readonly pool: ExamplePool;
  private readonly embed: Embed | undefined;
  private similarity: Promise<Similarity> | undefined;

  /** @param embed vectors for `similar`; without them BM25 over runs of characters decides */
  constructor(pool: ExamplePool, embed?: Embed) {
    this.pool = pool;
    this.embed = embed;
  }

  /** A question's own row is never among its examples. Fewer where the pool has fewer. */
  async pick({ values, number = 0 }: Question): Promise<Values[]> {
    const { rows, count, select, seed } = this.pool;
    const open = rows.map((_, i) => i).filter((i) => !sameQuestion(rows[i] as Values, values));
    if (select === 'random') {
      const random = new Random(seed, 'examples', number);
      for (let i = 0; i < Math.min(count, open.length); i++) {
        const pick = i + random.integer(open.length - i);
        [open[i], open[pick]] = [open[pick] as number, open[i] as number];
      }
    } else if (select === 'similar') {
      const scores = await (await this.compared()).scores(this.textOf(values));
      open.sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b);
    }
    const picked = open.slice(0, count).map((i) => rows[i] as Values);
    // What stands next to the question counts most.
    return select === 'similar' ? picked.reverse() : picked;
  }

  private textOf(values: Values): string {
    return textOfValue(values[this.pool.by as string]);
  }

  private compared(): Promise<Similarity> {
    const texts = (): string[] => this.pool.rows.map((row) => this.textOf(row));
    this.similarity ??=
      this.embed === undefined ? Promise.resolve(bm25(texts())) : byEmbedding(texts(), this.embed);
    return this.similarity;
  }
}

/** All that the question says, the row says as well. */
function sameQuestion(row: Values, question: Values): boolean {
  const names = Object.keys(question).filter((name) => Object.hasOwn(row, name));
  return (
    names.length > 0 && names.every((name) => JSON.stringify(row[name]) === JSON.stringify(question[name]))
  );
}
