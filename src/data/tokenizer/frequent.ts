/**
 * Counts of words within bounds: a corpus may have more different words than memory has room for, and those that come once
 * decide nothing about a vocabulary. Knows no words.
 */

/** Different words that are counted at once: some hundreds of megabytes. */
export const MOST_WORDS = 4_000_000;

/**
 * Where there are more than `most`, takes the rarest out until half of that is left at most. What is counted in the same order is cut
 * in the same way; a word that comes back afterwards begins anew, so that only rare words are counted short.
 */
export function keepFrequent(counts: Map<string, number>, most: number): void {
  if (counts.size <= most) return;
  for (let rare = 1; counts.size > most / 2; rare++)
    for (const [word, count] of counts) if (count <= rare) counts.delete(word);
}
