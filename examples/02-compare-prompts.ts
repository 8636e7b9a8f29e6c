/**
 * Two prompts side by side: typed variables, examples chosen by nearness, and which of the two the starter model
 * understands better. Through the package's public exports.
 *
 *   node tools/run.mjs examples/02-compare-prompts.ts
 */
import { createBackend } from 'inkstone';
import { comparePrompts, LanguageModel } from 'inkstone/evaluate';
import { loadTextModel } from 'inkstone/models';
import { findModel } from 'inkstone/operate';
import { CHAT_TEMPLATES, compilePrompt, PromptRenderer, type TurnTemplate } from 'inkstone/prompt';

// What a prompt is, as data: kept by `inkstone prompt add`, or used as it is.
const bare = compilePrompt({ text: '{{beginning}}', variables: { beginning: { type: 'string' } } });
const shown = compilePrompt({
  text: '{{examples}}\n\n{{beginning}}',
  variables: { beginning: { type: 'string', maximum: 200 } },
  examples: {
    rows: [
      { beginning: 'She shut the', answer: 'door' },
      { beginning: 'He took off his', answer: 'hat' },
      { beginning: 'They walked along the', answer: 'road' },
    ],
    format: '{{beginning}} {{answer}}.',
    ...{ count: 2, select: 'similar', by: 'beginning' },
  },
});
console.log((await new PromptRenderer(shown).render({ beginning: 'She opened the' })).text);
await new PromptRenderer(shown).render({}).catch((error: Error) => console.log(`refused: ${error.message}`));

const questions = [
  ['She opened the', 'door', 'seven'],
  ['He shook his', 'head', 'very'],
  ['They sat down at the', 'table', 'went'],
  ['It was a cold and dark', 'night', 'he'],
] as const;
const backend = await createBackend('cpu');
const { folder } = await findModel('starter');
const model = new LanguageModel('starter', await loadTextModel(folder), backend);
const { variants } = await comparePrompts({
  model,
  template: CHAT_TEMPLATES.plain as TurnTemplate,
  variants: [
    { name: 'bare', renderer: new PromptRenderer(bare) },
    { name: 'with examples', renderer: new PromptRenderer(shown) },
  ],
  items: questions.map(([beginning, right, wrong], number) => ({
    ...{ number, values: { beginning }, answers: [right], choices: [right, wrong] },
  })),
  settings: { metrics: ['choice'], normalise: 'token', answerContext: '', maxTokens: 8, stop: [], seed: 1 },
});
for (const { name, scores, against_first } of variants) {
  const { value, lower, upper } = scores.choice ?? { value: 0, lower: 0, upper: 1 };
  const p = against_first?.choice && `, p ${against_first.choice.p.toFixed(2)} against bare`;
  console.log(`${name}: ${value} right (95 % from ${lower.toFixed(2)} to ${upper.toFixed(2)})${p ?? ''}`);
}
await model.close();
await backend.close();
