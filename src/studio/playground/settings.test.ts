import { describe, expect, it } from 'vitest';
import { bounded, DEFAULTS, restored, stopTexts, wireSettings } from './settings.ts';

describe('stopTexts', () => {
  it('takes one a line, with escapes, at most four', () => {
    expect(stopTexts('END\n\\n\\n\n\n\\\\n\n\\q\nfifth')).toEqual(['END', '\n\n', '\\n', '\\q']);
    expect(stopTexts('')).toEqual([]);
  });
});

describe('bounded', () => {
  it('brings numbers into their limits', () => {
    expect(bounded('temperature', '9')).toBe(2);
    expect(bounded('temperature', '-1')).toBe(0);
    expect(bounded('topK', '40.6')).toBe(41);
    expect(bounded('maxTokens', '0')).toBe(1);
    expect(bounded('topP', '0.9')).toBe(0.9);
  });

  it('refuses what is no number', () => {
    for (const typed of ['', '  ', 'abc', '1e999', 'NaN', '--1'])
      expect(bounded('topK', typed)).toBeUndefined();
  });
});

describe('restored', () => {
  it('falls back where a kept value is off', () => {
    expect(restored({})).toEqual(DEFAULTS);
    expect(restored({ temperature: 'hot', topP: 7, seed: 3, stopText: 5 })).toEqual({
      ...DEFAULTS,
      topP: 1,
      seed: 3,
    });
  });
});

it('turns the edited form into the wire’s', () => {
  expect(wireSettings({ ...DEFAULTS, stopText: 'X' })).toMatchObject({ stop: ['X'], temperature: 0.8 });
});
