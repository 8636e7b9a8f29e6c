/** Which chat template a model's turns take: one by name, the checkpoint's own, else the plain one. */
import path from 'node:path';
import { InkstoneError } from '../base/errors.ts';
import { exists, readText } from '../base/host.ts';
import { CHAT_TEMPLATES, type ChatTemplate, templateOfCheckpoint } from '../prompt/index.ts';

/** @throws InkstoneError `chat_template_unknown`, `chat_template_invalid` */
export async function chatTemplateFor(
  given: string | undefined,
  model?: { folder: string },
): Promise<ChatTemplate> {
  if (given !== undefined) {
    const named = Object.hasOwn(CHAT_TEMPLATES, given) ? CHAT_TEMPLATES[given] : undefined;
    if (named !== undefined) return named;
    throw new InkstoneError('chat_template_unknown', `there is no chat template "${given}"`, {
      kind: 'usage',
      hint: `there are ${Object.keys(CHAT_TEMPLATES).join(', ')}`,
      details: { param: 'template' },
    });
  }
  const own = model === undefined ? undefined : await checkpointTemplate(model.folder);
  return own ?? (CHAT_TEMPLATES.plain as ChatTemplate);
}

/** The chat template that a Hugging Face folder brings along; undefined where it has none. */
export async function checkpointTemplate(folder: string): Promise<ChatTemplate | undefined> {
  const file = path.join(folder, 'tokenizer_config.json');
  if (!(await exists(file))) return undefined;
  const beside = path.join(folder, 'chat_template.jinja');
  let config: Record<string, unknown>;
  try {
    config = JSON.parse(await readText(file)) as Record<string, unknown>;
  } catch (cause) {
    throw new InkstoneError('chat_template_invalid', `${file} is not JSON`, { kind: 'data', cause });
  }
  return templateOfCheckpoint(config, (await exists(beside)) ? await readText(beside) : undefined);
}
