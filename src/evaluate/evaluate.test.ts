import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { packageFolder } from '../base/host.ts';
import { modelCard } from './model-card.ts';
import { WittenBell } from './ngram.ts';

describe('Witten–Bell', () => {
  test('a case by hand', () => {
    // "abab", order 2, vocabulary {a, b, c}. Unigrams: 4 tokens, 2 types. After a: 2 times b. After b: once a.
    const model = new WittenBell(2, 'abc');
    model.train('abab');
    const base = (count: number): number => (count + 2 / 3) / (4 + 2);
    const p = { a: base(2), b: base(2), c: base(0) };
    expect(p.a + p.b + p.c).toBeCloseTo(1, 12);
    const afterA = { b: (2 + p.b) / 3, c: p.c / 3 };
    const afterB = { a: (1 + p.a) / 2 };
    expect(model.score('a')).toBeCloseTo(-Math.log(p.a), 12);
    expect(model.score('ab')).toBeCloseTo(-(Math.log(p.a) + Math.log(afterA.b)) / 2, 12);
    expect(model.score('bac')).toBeCloseTo(
      -(Math.log(p.b) + Math.log(afterB.a) + Math.log(afterA.c)) / 3,
      12,
    );
    // Nothing ever followed c: the shorter history speaks alone.
    expect(model.score('ca')).toBeCloseTo(-(Math.log(p.c) + Math.log(p.a)) / 2, 12);
  });

  test('untrained, every character is as likely as any other', () => {
    expect(new WittenBell(3, 'abcd').score('abca')).toBeCloseTo(Math.log(4), 12);
  });

  test('probabilities of all continuations add up to one', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '🙂'), minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(text, text, fc.integer({ min: 1, max: 5 }), (training, history, order) => {
        const model = new WittenBell(order, 'abc🙂d');
        model.train(training);
        const before = model.score(history) * [...history].length;
        const total = [...'abc🙂d'].reduce((sum, next) => {
          const whole = model.score(history + next) * ([...history].length + 1);
          return sum + Math.exp(before - whole);
        }, 0);
        expect(total).toBeCloseTo(1, 9);
      }),
      { numRuns: 100 },
    );
  });

  test('what cannot be done is told', () => {
    expect(() => new WittenBell(1, 'ab').train('abc')).toThrow(
      expect.objectContaining({ code: 'character_unknown' }),
    );
    const wide = Array.from({ length: 3000 }, (_, i) => String.fromCodePoint(0x4e00 + i));
    expect(() => new WittenBell(5, wide)).toThrow(
      expect.objectContaining({ code: 'ngram_too_wide', hint: 'use order 4' }),
    );
    expect(() => new WittenBell(4, wide)).not.toThrow();
    for (const order of [0, 1.5])
      expect(() => new WittenBell(order, 'ab')).toThrow(expect.objectContaining({ code: 'ngram_order' }));
  });

  const file = path.join(packageFolder, '..', 'shared', 'data', 'text', 'tinyshakespeare.txt');
  test.skipIf(!existsSync(file))(`tinyshakespeare: 1.669 nats per character (needs ${file})`, () => {
    const text = [...readFileSync(file, 'utf8')];
    const cut = Math.floor(0.9 * text.length);
    const model = new WittenBell(5, text);
    model.train(text.slice(0, cut).join(''));
    expect(model.score(text.slice(cut).join(''))).toBeCloseTo(1.669, 3);
  });
});

describe('model card', () => {
  const facts = {
    preset: 'tiny',
    config: {
      model: { layers: 2, bias: false },
      training: { seed: 1, batch: 8, context: 32, learningRate: 0.003, optimiser: { name: 'adamw' } },
      tokenizer: { kind: 'characters' },
      data: { fingerprint: 'abc123', characters: 1000, documents: 1, validation: 0.1 },
      provenance: { version: '0.1.0+abc', command: 'inkstone train text --data `x|y`' },
    },
    result: {
      parameters: 27648,
      steps: 40,
      validationLoss: 2,
      bestValidationLoss: 1.5,
      bestStep: 30,
      unit: 'nats per character',
      seconds: 3,
    },
  };

  test('names data, training, result and code', () => {
    const card = modelCard({ ...facts, sample: 'Once upon' });
    for (const part of [
      'abc123',
      '27648',
      '40 steps',
      '2.0000 nats per character',
      '1.5000 at step 30',
      'the last 10 %',
      '0.1.0+abc',
      'Once upon',
    ]) {
      expect(card).toContain(part);
    }
  });

  test('what stands in a command or a sample cannot break out of its place', () => {
    const card = modelCard({ ...facts, sample: 'a\n```\n# not a heading\n````\n' });
    expect(card).toContain("`inkstone train text --data 'x\\|y'`");
    expect(card.trimEnd().endsWith('\n`````')).toBe(true);
    expect(modelCard({ ...facts, sample: undefined })).not.toContain('Sample');
  });
});
