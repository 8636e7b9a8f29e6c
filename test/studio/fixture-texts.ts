/** What the fixture server says: a text cut into tokens, model cards, presets. Written for the tests. */

const WORDS =
  ' the rain had not yet reached the harbour when the old sailor set down his pen. ' +
  '“Ink,” he said, “is only night that has learned to hold still.” ' +
  'Nobody answered; the lamp was low, and beyond the window the masts moved like reeds.\n\n' +
  'In the morning the letter was dry. She read it twice, folded it along the old lines, ' +
  'and walked out toward the water without her hat. ';

/** Tokens of one to five characters, as a small byte-level vocabulary would cut them. */
export const TEXT: readonly string[] = WORDS.match(/ ?[^\s]{1,5}|\s/g) ?? [];

export const CARD = `---
license: mit
---
# Starter

A **small GPT** trained by Inkstone itself on English prose. It writes *plausible nonsense*: good for a
first look, not for facts.

| Fact | Value |
|---|---|
| Layers, heads, width | 6, 6, 192 |
| Validation loss | 1.31 nats a character |
| Steps | 12 000 |

## Data
1. Public-domain novels, see [the list](https://example.org/books)
2. Letters and diaries

## How it was made
\`\`\`
npx inkstone train text --preset starter --data novels.tar.gz
\`\`\`

> The lamp was low, and beyond the window the masts moved like reeds.

<img src=x onerror="window.injected = true"> and [a bad link](javascript:window.injected=true)
`;

export const CHAT_CARD = '# Little sage\n\nA chat model for the tests. Answers in `English`.\n';

export const PRESETS = [
  {
    id: 'nanogpt-cpu',
    title: 'Small and quick',
    description: 'Characters; a few minutes on two cores. Good for a first try.',
    parameters: 804_096,
    context: 64,
    steps: 2000,
    tokenizer: 'characters',
  },
  {
    id: 'shakespeare-15min',
    title: 'A quarter of an hour',
    description: 'A larger model that still fits a coffee break.',
    parameters: 3_200_000,
    context: 256,
    steps: 3000,
    tokenizer: 'characters',
  },
  {
    id: 'nanogpt-10m',
    title: 'Large and patient',
    description: 'Ten million parameters; leave it running.',
    parameters: 10_646_784,
    context: 256,
    steps: 5000,
    tokenizer: 'byte-level BPE',
  },
];
