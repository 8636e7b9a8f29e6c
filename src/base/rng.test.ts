/** The generator against its published vectors, and what is built on it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Permutation, philox, Random } from './rng.ts';

type Four = [number, number, number, number];

// Random123 1.14, tests/kat_vectors, lines `philox4x32 10`: counter, key, result.
const VECTORS: [Four, [number, number], Four][] = [
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
];

test.each(VECTORS)('Philox 4x32-10 of %j under %j', (counter, key, expected) => {
  const out = new Uint32Array(4);
  philox(counter, key, out);
  expect([...out]).toEqual(expected);
});

describe('Random', () => {
  test('is resumed at any place by its index', () => {
    const whole = new Random(7, 'dropout', 3);
    const values = Array.from({ length: 41 }, () => whole.next());
    for (const at of [0, 1, 3, 4, 17, 40]) {
      const resumed = new Random(7, 'dropout', 3);
      resumed.index = at;
      expect(resumed.next()).toBe(values[at]);
    }
    whole.index = 5;
    expect(whole.next()).toBe(values[5]);
  });

  test('seed, name and part each give another stream; large seeds count whole', () => {
    const firsts = [
      new Random(1),
      new Random(2),
      new Random(1, 'a'),
      new Random(1, 'b'),
      new Random(1, 'a', 1),
      new Random(1 + 2 ** 40),
    ];
    expect(new Set(firsts.map((r) => r.next())).size).toBe(firsts.length);
  });

  test('uniform stays in [0, 1) with the right mean and variance', () => {
    const random = new Random(11, 'uniform');
    const values = Array.from({ length: 20000 }, () => random.uniform());
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
    const mean = values.reduce((a, b) => a + b) / values.length;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
    expect(mean).toBeCloseTo(0.5, 1);
    expect(variance).toBeCloseTo(1 / 12, 2);
  });

  test('normal has mean 0, variance 1 and its share beyond two deviations', () => {
    const values = new Float64Array(40000);
    new Random(5, 'normal').fillNormal(values);
    const mean = values.reduce((a, b) => a + b) / values.length;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
    const far = values.filter((v) => Math.abs(v) > 2).length / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.02);
    expect(Math.abs(variance - 1)).toBeLessThan(0.03);
    expect(Math.abs(far - 0.0455)).toBeLessThan(0.006);
  });

  test('integers are even over their range', () => {
    const random = new Random(3, 'integer');
    const counts = new Array<number>(7).fill(0);
    for (let i = 0; i < 70000; i++) {
      const at = random.integer(7);
      counts[at] = (counts[at] as number) + 1;
    }
    const chi = counts.reduce((sum, n) => sum + (n - 10000) ** 2 / 10000, 0);
    expect(chi).toBeLessThan(22.5); // 99.9 % at six degrees of freedom
  });

  test('shuffle keeps the items and reaches every order', () => {
    const orders = new Set<string>();
    for (let seed = 0; seed < 200; seed++) orders.add(new Random(seed).shuffle([1, 2, 3]).join(''));
    expect([...orders].sort()).toEqual(['123', '132', '213', '231', '312', '321']);
  });

  test('fills hold what single calls give', () => {
    const filled = new Float32Array(5);
    new Random(1, 'x').fillUniform(filled, -2, 2);
    const single = new Random(1, 'x');
    expect([...filled]).toEqual(Array.from({ length: 5 }, () => Math.fround(-2 + 4 * single.uniform())));
  });
});

describe('Permutation', () => {
  test('is a bijection for any size, seed and epoch', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 700 }), fc.nat(), fc.nat(50), (size, seed, epoch) => {
        const order = new Permutation(size, seed, 'epoch', epoch);
        const seen = new Set(Array.from({ length: size }, (_, place) => order.at(place)));
        return seen.size === size && Math.max(...seen) === size - 1;
      }),
      { numRuns: 60 },
    );
  });

  test('epochs differ and items spread', () => {
    const size = 1000;
    const [a, b] = [new Permutation(size, 1, 'epoch', 0), new Permutation(size, 1, 'epoch', 1)];
    let same = 0;
    let distance = 0;
    for (let i = 0; i < size; i++) {
      if (a.at(i) === b.at(i)) same++;
      distance += Math.abs(a.at(i) - i);
    }
    expect(same).toBeLessThan(10);
    expect(Math.abs(distance / size / (size / 3) - 1)).toBeLessThan(0.1);
  });

  test('works at sizes beyond 32 bits', () => {
    const order = new Permutation(2 ** 52, 9);
    const seen = new Set([0, 1, 2, 2 ** 40, 2 ** 52 - 1].map((place) => order.at(place)));
    expect(seen.size).toBe(5);
    for (const item of seen) expect(item).toBeLessThan(2 ** 52);
  });

  test('refuses what is not a size or a place', () => {
    expect(() => new Permutation(-1, 1)).toThrow(/0 to 2\^52/);
    expect(() => new Permutation(1.5, 1)).toThrow(/0 to 2\^52/);
    expect(() => new Permutation(4, 1).at(4)).toThrow(/not in 0 … 3/);
    expect(new Permutation(1, 1).at(0)).toBe(0);
  });
});
