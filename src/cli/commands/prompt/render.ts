/** `inkstone prompt render`: a prompt with its values filled in, as a model would read it. */
import { z } from '../../../base/schema.ts';
import { chatTemplateFor } from '../../../operate/chat-templates.ts';
import { findModel } from '../../../operate/registry.ts';
import {
  compilePrompt,
  type Prompt,
  PromptRenderer,
  type Rendered,
  type Values,
} from '../../../prompt/index.ts';
import { createBackend } from '../../../runtime/index.ts';
import { command } from '../../command.ts';
import { openEmbedder } from '../../prompt-comparison.ts';
import { findPrompt, homeSetting, openPrompts, own, readValues } from '../../prompt-settings.ts';

const schema = z.object({
  prompt: z.string().min(1).describe('NAME, NAME@VERSION, NAME@LABEL, or a file').meta(own),
  var: z.array(z.string()).default([]).describe('NAME=VALUE; may be given several times').meta(own),
  values: z.string().optional().describe('a JSON file with values').meta(own),
  number: z.number().int().min(0).default(0).describe('which question it is, for drawn examples').meta(own),
  template: z
    .string()
    .optional()
    .describe('chat template for turns: plain, chatml, llama3; default the model’s own, else plain')
    .meta(own),
  model: z.string().optional().describe('a model whose chat template is used').meta(own),
  embed: z
    .string()
    .optional()
    .describe('a model that compares examples; default BM25 over characters')
    .meta(own),
  home: homeSetting,
});

async function render(
  prompt: Prompt,
  values: Values,
  { embed, number }: z.output<typeof schema>,
): Promise<Rendered> {
  if (embed === undefined) return new PromptRenderer(prompt).render(values, { number });
  const backend = await createBackend('cpu');
  try {
    const embedder = await openEmbedder(embed, backend);
    const rendered = await new PromptRenderer(prompt, embedder.embed).render(values, { number });
    await embedder.close();
    return rendered;
  } finally {
    await backend.close();
  }
}

export const promptRenderCommand = command({
  name: 'prompt render',
  summary: 'fill a prompt in',
  schema,
  positionals: ['prompt'],
  examples: [
    'prompt render greet --var name=Ann',
    'prompt render chat@production --values row.json --template chatml',
  ],
  async run(settings): Promise<Rendered & { name: string; prompt: string }> {
    const { name, definition } = await findPrompt(settings.prompt, await openPrompts(settings.home));
    const prompt = compilePrompt(definition);
    const values = await readValues(prompt.variables, settings.var, settings.values);
    const rendered = await render(prompt, values, settings);
    const model = settings.model === undefined ? undefined : await findModel(settings.model);
    const template = await chatTemplateFor(settings.template, model);
    return { name, prompt: rendered.text ?? (await template.render(rendered.messages ?? [])), ...rendered };
  },
  show: ({ prompt }) => prompt,
});
