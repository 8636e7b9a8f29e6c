/** Draws a Markdown tree. Text goes in as text nodes only, so nothing in a card can become markup. */
import type { ComponentChild } from 'preact';
import { useMemo } from 'preact/hooks';
import { type Block, type Inline, parseMarkdown } from './parse.ts';

interface Properties {
  source: string;
  /** The level that `#` gets, so that the headings fit under those of the page. */
  topLevel: 2 | 3;
}

export function Markdown({ source, topLevel }: Properties) {
  const tree = useMemo(() => parseMarkdown(source), [source]);
  return <div class="prose">{tree.map((block) => drawBlock(block, topLevel))}</div>;
}

function drawBlock(block: Block, top: number): ComponentChild {
  switch (block.type) {
    case 'heading': {
      const Heading = `h${Math.min(6, block.level - 1 + top)}` as 'h2';
      return <Heading>{block.children.map(drawInline)}</Heading>;
    }
    case 'paragraph':
      return <p>{block.children.map(drawInline)}</p>;
    case 'code':
      return (
        // Scrolls sideways, so it must be reachable by keyboard.
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling area needs focus
        <pre tabIndex={0}>
          <code>{block.text}</code>
        </pre>
      );
    case 'rule':
      return <hr />;
    case 'quote':
      return <blockquote>{block.children.map((inner) => drawBlock(inner, top))}</blockquote>;
    case 'list': {
      const List = block.ordered ? 'ol' : 'ul';
      return (
        <List>
          {block.items.map((item) => (
            <li>{tight(item) ?? item.map((inner) => drawBlock(inner, top))}</li>
          ))}
        </List>
      );
    }
    case 'table':
      return (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling area needs focus
        <div class="table-scroll" tabIndex={0}>
          <table>
            <thead>
              <tr>
                {block.head.map((cell) => (
                  <th scope="col">{cell.map(drawInline)}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {block.rows.map((row) => (
                <tr>
                  {row.map((cell) => (
                    <td>{cell.map(drawInline)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      );
  }
}

/** A list item of one paragraph is drawn without the paragraph's space. */
function tight(item: Block[]): ComponentChild {
  const [first, ...rest] = item;
  if (first?.type !== 'paragraph' || rest.some((block) => block.type !== 'list')) return undefined;
  return [...first.children.map(drawInline), ...rest.map((block) => drawBlock(block, 6))];
}

function drawInline(inline: Inline): ComponentChild {
  switch (inline.type) {
    case 'text':
      return inline.text;
    case 'code':
      return <code>{inline.text}</code>;
    case 'break':
      return <br />;
    case 'strong':
      return <strong>{inline.children.map(drawInline)}</strong>;
    case 'emphasis':
      return <em>{inline.children.map(drawInline)}</em>;
    case 'link':
      return (
        <a href={inline.address} target="_blank" rel="noopener noreferrer">
          {inline.children.map(drawInline)}
        </a>
      );
  }
}
