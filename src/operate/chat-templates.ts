/** Which chat template a model's turns take: one by name, the model's own, else the plain one. */
import { InkstoneError } from '../base/errors.ts';
import { readTemplate } from '../models/text/template.ts';
import { CHAT_TEMPLATES, modelTemplate, type TurnTemplate } from '../prompt/index.ts';

/** @throws InkstoneError `chat_template_unknown`, `model_invalid` */
export async function chatTemplateFor(
  given: string | undefined,
  model?: { folder: string },
): Promise<TurnTemplate> {
  if (given !== undefined) {
    const named = Object.hasOwn(CHAT_TEMPLATES, given) ? CHAT_TEMPLATES[given] : undefined;
    if (named !== undefined) return named;
    throw new InkstoneError('chat_template_unknown', `there is no chat template "${given}"`, {
      kind: 'usage',
      hint: `there are ${Object.keys(CHAT_TEMPLATES).join(', ')}`,
      details: { param: 'template' },
    });
  }
  const own = model === undefined ? undefined : await readTemplate(model.folder);
  return own === undefined ? (CHAT_TEMPLATES.plain as TurnTemplate) : modelTemplate(own);
}
