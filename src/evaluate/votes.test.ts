import { expect, test } from 'vitest';
import { tallyVotes, type Vote } from './votes.ts';

const vote = (a: string, b: string, winner: Vote['winner'], blind = false): Vote => ({ a, b, winner, blind });

test('a pair is one, whichever side its members stood on', () => {
  const [row, ...more] = tallyVotes([
    vote('x', 'y', 'a', true),
    vote('y', 'x', 'b'),
    vote('y', 'x', 'a'),
    vote('x', 'y', 'tie', true),
  ]);
  expect(more).toEqual([]);
  expect(row).toMatchObject({ a: 'x', b: 'y', wins: { a: 2, b: 1 }, ties: 1, votes: 4, blind: 2 });
  expect(row?.preferred.value).toBeCloseTo(2 / 3);
  expect(row?.preferred.count).toBe(3);
});

test('the interval is Wilson’s: wide for few votes, and never outside 0 to 1', () => {
  // scipy: binomtest(8, 10).proportion_ci(method='wilson')
  const [row] = tallyVotes([...Array(8).fill(vote('x', 'y', 'a')), ...Array(2).fill(vote('x', 'y', 'b'))]);
  expect(row?.preferred.lower).toBeCloseTo(0.4901625, 5);
  expect(row?.preferred.upper).toBeCloseTo(0.9433178, 5);
  const [tied] = tallyVotes([vote('x', 'y', 'tie')]);
  expect([tied?.preferred.lower, tied?.preferred.upper, tied?.preferred.count]).toEqual([0, 1, 0]);
});

test('rows come by their number of votes; one against itself is none', () => {
  const rows = tallyVotes([
    vote('x', 'x', 'a'),
    vote('p', 'q', 'a'),
    vote('y', 'x', 'a'),
    vote('x', 'y', 'b'),
  ]);
  expect(rows.map(({ a, b, votes }) => [a, b, votes])).toEqual([
    ['x', 'y', 2],
    ['p', 'q', 1],
  ]);
  expect(rows[0]?.wins).toEqual({ a: 0, b: 2 });
});
