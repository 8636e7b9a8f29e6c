/** The studio's colours against WCAG 2.2: text 4.5:1, controls and marks 3:1, in both themes. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const sheet = readFileSync(
  new URL('../../src/studio/styles/colours.css', import.meta.url),
  'utf8',
).replaceAll('"', "'");

/** The custom properties of the block that follows a selector. */
function colours(selector: string): Record<string, string> {
  const start = sheet.indexOf(`${selector} {`);
  expect(start, selector).toBeGreaterThanOrEqual(0);
  const block = sheet.slice(start, sheet.indexOf('}', start));
  return Object.fromEntries(
    [...block.matchAll(/--([\w-]+):\s*([^;]+);/g)].map((match) => [match[1], match[2]]),
  );
}

function luminance(hex: string): number {
  const parts = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255);
  const [red, green, blue] = parts.map((part) =>
    part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * (red ?? 0) + 0.7152 * (green ?? 0) + 0.0722 * (blue ?? 0);
}

function contrast(one: string, other: string): number {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

const GROUNDS = ['paper', 'sheet', 'wash'];
const TEXT: [string, string[]][] = [
  ['ink', [...GROUNDS, 'bad-wash', 'level-1', 'level-2', 'level-3', 'level-4']],
  ['ink-soft', [...GROUNDS, 'bad-wash']],
  ['seal', ['paper', 'sheet']],
  ['seal-deep', ['paper', 'sheet']],
  ['bad', [...GROUNDS, 'bad-wash']],
  ['on-seal', ['seal', 'seal-deep']],
];
const MARKS: [string, string[]][] = [
  ['line-strong', ['paper', 'sheet']],
  ['seal', ['wash']],
  ['focus', GROUNDS],
  ['good', ['paper', 'sheet']],
  ['busy', ['paper', 'sheet']],
  ['level-line', ['sheet']],
];

describe.each([
  ['light', ':root'],
  ['dark', ":root[data-theme='dark']"],
])('%s theme', (_, selector) => {
  const palette = colours(selector);

  it.each([
    ['text', TEXT, 4.5],
    ['marks', MARKS, 3],
  ] as const)('%s can be told from the ground', (_, pairs, least) => {
    for (const [front, grounds] of pairs) {
      for (const ground of grounds) {
        const found = contrast(palette[front] as string, palette[ground] as string);
        expect(found, `${front} on ${ground}`).toBeGreaterThanOrEqual(least);
      }
    }
  });
});

it('both ways into the dark give the same colours', () => {
  expect(colours(":root:not([data-theme='light'])")).toEqual(colours(":root[data-theme='dark']"));
});
