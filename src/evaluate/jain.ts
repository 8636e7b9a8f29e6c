/** Jain's index of fairness (Jain, Chiu and Hawe 1984). */

/** 1 where all have the same, 1 / n where one has all; 1 for nobody. */
export function jain(shares: readonly number[]): number {
  const sum = shares.reduce((total, one) => total + one, 0);
  const squares = shares.reduce((total, one) => total + one * one, 0);
  return squares === 0 ? 1 : (sum * sum) / (shares.length * squares);
}
