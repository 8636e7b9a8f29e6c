import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Block, type Inline, inlines, parseMarkdown } from './parse.ts';

const types = (source: string) => parseMarkdown(source).map((block) => block.type);

function addresses(value: Block | Inline): string[] {
  const children = 'children' in value ? value.children : 'items' in value ? value.items.flat() : [];
  return [...(value.type === 'link' ? [value.address] : []), ...children.flatMap(addresses)];
}

describe('blocks', () => {
  it('reads what model cards have', () => {
    const source =
      '---\nlicense: mit\n---\n# Title\n\nText\nmore\n\n- a\n- b\n\n1. c\n\n> q\n\n```ts\n# code\n```\n\n---\n';
    expect(types(source)).toEqual(['heading', 'paragraph', 'list', 'list', 'quote', 'code', 'rule']);
  });

  it('reads tables, with escaped bars', () => {
    const [table] = parseMarkdown('| A | B |\n|---|:-:|\n| 1 | x \\| y |\n| 2 |\n\nafter');
    expect(table).toMatchObject({ type: 'table', head: [[{ text: 'A' }], [{ text: 'B' }]] });
    expect(table?.type === 'table' && table.rows[0]?.[1]).toEqual([{ type: 'text', text: 'x | y' }]);
  });

  it('nests lists and keeps what belongs to an item', () => {
    const [list] = parseMarkdown('- a\n  - b\n  - c\n- d\n\n  e');
    expect(list).toMatchObject({
      items: [
        [{ type: 'paragraph' }, { type: 'list', items: [[{}], [{}]] }],
        [{}, { type: 'paragraph' }],
      ],
    });
  });

  it('ends an open fence with the text', () => {
    expect(parseMarkdown('```\nnever closed')).toEqual([{ type: 'code', text: 'never closed' }]);
  });
});

describe('inlines', () => {
  it('reads emphasis, code, links, breaks and escapes', () => {
    expect(inlines('a **b *c*** `d*` [e](https://x.org/y) \\*f\\*  \ng').map((part) => part.type)).toEqual([
      ...['text', 'strong', 'text', 'code', 'text', 'link', 'text', 'text', 'text', 'text', 'break', 'text'],
    ]);
  });

  it('leaves underscores inside words alone', () => {
    expect(inlines('val_loss and best_val_loss')).toEqual([
      { type: 'text', text: 'val_loss and best_val_loss' },
    ]);
  });

  it.each([
    'javascript:alert(1)',
    'JaVaScRiPt:alert(1)',
    'java\tscript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
    '//evil.example',
  ])('makes no link to %s', (address) => {
    expect(inlines(`[x](${address})`).flatMap(addresses)).toEqual([]);
  });

  it('keeps HTML as text', () => {
    expect(inlines('<img src=x onerror=alert(1)>')).toEqual([
      { type: 'text', text: '<img src=x onerror=alert(1)>' },
    ]);
  });
});

it('takes any text without failing, and never leads anywhere unsafe', () => {
  const pieces = fc.constantFrom(
    '#',
    '- ',
    '> ',
    '```',
    '|',
    '---',
    '**',
    '*',
    '_',
    '`',
    '[a](',
    'javascript:',
    ')',
    '\n',
    ' ',
    'x',
    '1. ',
    '\\',
    '\r',
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 60 }), (parts) => {
      for (const address of parseMarkdown(parts.join('')).flatMap(addresses)) {
        expect(address).toMatch(/^(https?:\/\/|mailto:)/i);
      }
    }),
    { numRuns: 300 },
  );
  expect(types(`${'> '.repeat(500)}deep`)).toEqual(['quote']);
});
