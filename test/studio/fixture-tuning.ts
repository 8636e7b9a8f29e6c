/** What the fixture server says of files to tune on: by their names, for the tests choose what is in them. */

const talk = (question: string, answer: string) => [
  { role: 'user', content: question },
  { role: 'assistant', content: answer },
];

/** `bad` in a file's name gives bad lines, `foreign` characters that the model lacks. */
export function checkOf(name: string, bytes: number, model: string): object {
  const bad = name.includes('bad');
  const errors = [
    { line: 3, message: 'it is not JSON' },
    { line: 9, message: 'the last message is not the assistant’s' },
  ];
  const shared = {
    ...{ id: 'f', name, bytes, model, context: 256, tokens: 1840 },
    unknown_characters: name.includes('foreign') ? ['墨', '砚'] : [],
    ...(bad ? { error_count: 32, errors } : { error_count: 0, errors: [] }),
  };
  if (!/\.jsonl$/.test(name))
    return {
      ...shared,
      kind: 'text',
      characters: 5120,
      sample: 'The sea was calm, and the boats were far away.',
    };
  return {
    ...shared,
    ...{ kind: 'conversations', lines: 40, conversations: bad ? 8 : 40, turns: 80, answer_tokens: 920 },
    ...{ longest: 310, too_long: 2 },
    template_missing: name.includes('mute') ? ['U', 'A'] : [],
    sample: [
      talk('Is the ink dry?', 'Dry as a bone, my lord.'),
      talk('And the letter?', 'It lies folded on the desk.'),
    ],
  };
}

/** Events of a job as the wire lists them, the newest first. */
export function eventsOf(id: string, state: string, metrics: readonly Record<string, unknown>[]): object[] {
  const told = metrics.flatMap(({ step, loss, val_loss: judged }) => [
    {
      id: `ftevent-${id}-train-${step}`,
      message: `Step ${step}: training loss=${loss}`,
      data: { step, train_loss: loss },
    },
    ...(judged === undefined
      ? []
      : [
          {
            id: `ftevent-${id}-valid-${step}`,
            message: `Step ${step}: validation loss=${judged}`,
            data: { step, valid_loss: judged },
          },
        ]),
  ]);
  const end = ['running', 'queued'].includes(state)
    ? []
    : [{ id: `ftevent-${id}-end`, message: `been ${state}` }];
  return [{ id: `ftevent-${id}-created`, message: 'Created' }, ...told, ...end].reverse();
}
