/** A small model card in Markdown: what a run was made from and what came out. Formats facts; measures nothing. */

export interface CardFacts {
  preset: string;
  /** The run's configuration; only what a card names is read. */
  config: {
    model: Readonly<Record<string, unknown>>;
    training: {
      seed: number;
      batch: number;
      context: number;
      learningRate: number;
      optimiser: { name: string };
    };
    tokenizer: { kind: string };
    data: { fingerprint: string; characters: number; documents: number; validation: number };
    provenance: Readonly<Record<string, unknown>>;
  };
  result: {
    parameters: number;
    steps: number;
    validationLoss: number;
    bestValidationLoss: number;
    bestStep: number;
    unit: string;
    seconds: number;
  };
  /** Text that the model wrote near its end. */
  sample: string | undefined;
}

/** The Markdown of `card.md`. */
export function modelCard({ preset, config, result, sample }: CardFacts): string {
  const { data, training, model, provenance } = config;
  const rows: [string, string][] = [
    [
      'Architecture',
      `GPT-2, ${Object.entries(model)
        .map(([key, value]) => `${key} ${value}`)
        .join(', ')}`,
    ],
    ['Parameters', String(result.parameters)],
    ['Tokenizer', config.tokenizer.kind],
    [
      'Data',
      `SHA-256 ${data.fingerprint}; ${data.characters} characters, ${data.documents} ${data.documents === 1 ? 'document' : 'documents'}`,
    ],
    ['Validation', `the last ${Number((data.validation * 100).toFixed(2))} % of the characters`],
    [
      'Training',
      `${result.steps} steps of ${training.batch} × ${training.context} tokens, ${training.optimiser.name}, learning rate ${training.learningRate}, seed ${training.seed}`,
    ],
    [
      'Validation loss',
      `${result.validationLoss.toFixed(4)} ${result.unit} at the last step; best ${result.bestValidationLoss.toFixed(4)} at step ${result.bestStep}`,
    ],
    ['Time', `${Math.round(result.seconds)} s`],
    ['Code', String(provenance.version ?? 'unknown')],
    ['Command', `\`${String(provenance.command ?? 'unknown').replaceAll('`', "'")}\``],
  ];
  const table = rows.map(
    ([name, value]) => `| ${name} | ${value.replaceAll('|', '\\|').replaceAll('\n', ' ')} |`,
  );
  const parts = [
    `# A text model (${preset})`,
    'A small language model that continues text in the manner of what it was trained on. It knows nothing else, follows no instructions and makes things up.',
    ['| | |', '| --- | --- |', ...table].join('\n'),
  ];
  if (sample !== undefined) parts.push('## Sample', 'Temperature 0.8, unedited:', fenced(sample));
  return `${parts.join('\n\n')}\n`;
}

/** A code block whose fence is longer than any run of backticks in the text. */
function fenced(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((match) => match[0].length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}text\n${text.replace(/\n+$/, '')}\n${fence}`;
}
