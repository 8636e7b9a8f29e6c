/** Which of two people prefer: votes on pairs counted up, with an interval. Knows no models and no pages. */
import { type Proportion, proportion } from './metrics/answers.ts';

export interface Vote {
  /** Names of what was compared. */
  a: string;
  b: string;
  winner: 'a' | 'b' | 'tie';
  /** The voter did not know which was which. */
  blind: boolean;
}

export interface PairTally {
  /** The two in alphabetical order, however they stood when they were voted on. */
  a: string;
  b: string;
  wins: { a: number; b: number };
  ties: number;
  votes: number;
  blind: number;
  /** How often `a` was preferred where one was, with Wilson's interval at 95 %; ties say nothing here. */
  preferred: Proportion;
}

/** One row a pair, those with most votes first. Votes of one against itself are left out. */
export function tallyVotes(votes: readonly Vote[]): PairTally[] {
  const pairs = new Map<string, Omit<PairTally, 'preferred'>>();
  for (const vote of votes) {
    if (vote.a === vote.b) continue;
    const turned = vote.a > vote.b;
    const [a, b] = turned ? [vote.b, vote.a] : [vote.a, vote.b];
    const key = JSON.stringify([a, b]);
    const pair = pairs.get(key) ?? { a, b, wins: { a: 0, b: 0 }, ties: 0, votes: 0, blind: 0 };
    pairs.set(key, pair);
    pair.votes++;
    if (vote.blind) pair.blind++;
    if (vote.winner === 'tie') pair.ties++;
    else pair.wins[(vote.winner === 'a') === turned ? 'b' : 'a']++;
  }
  return [...pairs.values()]
    .sort((one, other) => other.votes - one.votes || (one.a + one.b < other.a + other.b ? -1 : 1))
    .map((pair) => ({ ...pair, preferred: proportion(pair.wins.a, pair.wins.a + pair.wins.b) }));
}
