/** Which foreign checkpoints can be read and written. Knows no files. */
import { InkstoneError } from '../../base/errors.ts';
import { type AnyTextConfig, architectureName } from './any.ts';
import type { HuggingFaceLayout } from './architecture.ts';
import { bertHuggingFace } from './bert-hugging-face.ts';
import { configUnsupported } from './checkpoint.ts';
import { gpt2HuggingFace } from './gpt2-hugging-face.ts';
import { llamaHuggingFace } from './llama-hugging-face.ts';

type Layout = HuggingFaceLayout<AnyTextConfig>;

const layouts = [gpt2HuggingFace, llamaHuggingFace, bertHuggingFace] as unknown as readonly Layout[];

/** By `model_type` of a config.json. @throws InkstoneError `config_unsupported` */
export function fromHuggingFace(raw: Record<string, unknown>): AnyTextConfig {
  const layout = layouts.find(({ modelTypes }) => modelTypes.includes(String(raw.model_type)));
  if (layout !== undefined) return layout.readConfig(raw);
  throw configUnsupported(
    `config.json describes a model of type "${raw.model_type}"`,
    `there are ${layouts.flatMap(({ modelTypes }) => modelTypes).join(', ')}`,
  );
}

/** @throws InkstoneError `format_unsupported` for architectures that Hugging Face's library does not have */
export function huggingFaceLayout(config: AnyTextConfig): Layout {
  const name = architectureName(config);
  const layout = layouts.find(({ architecture }) => architecture === name);
  if (layout !== undefined) return layout;
  throw new InkstoneError('format_unsupported', `Hugging Face has no layout for ${name}`, {
    kind: 'unsupported',
    hint: 'export it with --format onnx',
  });
}
