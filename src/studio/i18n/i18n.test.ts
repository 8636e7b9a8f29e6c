import { describe, expect, it } from 'vitest';
import { english } from './en.ts';
import { createFormat } from './format.ts';
import { DICTIONARIES } from './index.ts';

/** Every text by its path; functions are called with visible arguments. */
function flat(value: object, path = ''): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, item] of Object.entries(value)) {
    const here = `${path}${name}`;
    if (typeof item === 'string') found.set(here, item);
    else if (typeof item === 'function') {
      const texts = Array.from({ length: item.length }, (_, index) => `<${index}>`);
      found.set(here, (item as (...texts: string[]) => string)(...texts));
    } else for (const [inner, text] of flat(item as object, `${here}.`)) found.set(inner, text);
  }
  return found;
}

describe('dictionaries', () => {
  const reference = flat(english);

  it.each(Object.keys(DICTIONARIES) as (keyof typeof DICTIONARIES)[])('%s is complete', (language) => {
    const texts = flat(DICTIONARIES[language]);
    expect([...texts.keys()].sort()).toEqual([...reference.keys()].sort());
    for (const [path, text] of texts) {
      expect(text.trim(), path).not.toBe('');
      // What is put in must come out, in any order.
      const slots = (each: string) => [...each.matchAll(/<\d>/g)].map(String).sort();
      expect(slots(text), path).toEqual(slots(reference.get(path) as string));
    }
  });

  it('Chinese is Chinese but for names', () => {
    const same = [...flat(DICTIONARIES.zh)]
      .filter(([, text]) => !/[\u4e00-\u9fff]/.test(text))
      .map(([path]) => path);
    expect(same.sort()).toEqual(
      [
        ...['code.languages.curl', 'code.languages.javascript', 'code.languages.python', 'nav.otherLanguage'],
        ...['playground.modelState', 'settings.topK', 'settings.topP', 'tokens.chosen'],
        ...['watch.charts.now', 'watch.none'],
      ].sort(),
    );
  });
});

describe('formats', () => {
  const en = createFormat('en');
  const zh = createFormat('zh');

  it('write numbers as the language does', () => {
    expect([en.compact(804_096), zh.compact(804_096)]).toEqual(['804K', '80.4万']);
    expect([en.integer(10_646_784), en.decimal(1.5, 3)]).toEqual(['10,646,784', '1.500']);
  });

  it('keep digits in small shares', () => {
    expect([1, 0.432, 0.056, 0.0044, 0.000001, 0].map(en.percent)).toEqual([
      ...['100%', '43%', '5.6%', '0.44%', '<0.01%', '0%'],
    ]);
  });

  it('write sizes and durations', () => {
    expect([0, 999, 1000, 1_115_394, 5e15].map(en.bytes)).toEqual([
      '0 B',
      '999 B',
      '1.0 KB',
      '1.1 MB',
      '5,000.0 TB',
    ]);
    expect([0.4, 59.6, 80, 3700, -5].map(en.duration)).toEqual([
      '0 s',
      '1 min 0 s',
      '1 min 20 s',
      '1 h 1 min',
      '0 s',
    ]);
    expect(zh.duration(80)).toBe('1 分 20 秒');
  });
});
