/** Prompts that the server keeps, and one of them filled in with an input. Knows the API; does not draw. */
import { sendForJson } from '../api/client.ts';
import type { RenderedPrompt } from './sides.ts';

export interface PromptSummary {
  name: string;
  latest: number;
  description?: string;
}

interface Definition {
  text?: string;
  messages?: readonly { content?: string }[];
  variables?: Record<string, unknown>;
}

export const listPrompts = async (): Promise<readonly PromptSummary[]> =>
  (await sendForJson<{ data: PromptSummary[] }>('/api/prompts')).data;

/** The variable that takes the input: the only one, the one of that name, else the first that stands in the prompt. */
export function inputVariable({ text, messages, variables }: Definition): string {
  const source = [text ?? '', ...(messages ?? []).map(({ content }) => content ?? '')].join('\n');
  const standing = [...source.matchAll(/(?<!\\)\{\{[#^]?\s*([\p{L}_][\p{L}\p{N}_-]*)/gu)].map(
    (match) => match[1] ?? '',
  );
  const names = [...new Set([...standing, ...Object.keys(variables ?? {})])].filter(
    (name) => name !== 'examples',
  );
  return names.find((name) => name === 'input') ?? names[0] ?? 'input';
}

/** @throws RequestFailure where the prompt is gone or wants more than one value */
export async function renderPrompt(name: string, input: string, model: string): Promise<RenderedPrompt> {
  const { definition } = await sendForJson<{ definition: Definition }>(
    `/api/prompts/${encodeURIComponent(name)}`,
  );
  const values = { [inputVariable(definition)]: input };
  return sendForJson<RenderedPrompt>('/api/prompt-render', {
    method: 'POST',
    body: { prompt: name, values, model },
  });
}
