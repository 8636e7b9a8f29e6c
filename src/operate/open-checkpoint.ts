/** Opens a model that another engine runs, behind the same generator and embedder as our own. Knows which engine is whose. */
import type { Embedder } from '../base/contracts/embedder.ts';
import { LogitsDecoder } from '../generate/index.ts';
import { LlamaFile, type LlamaOptions } from './llama/engine.ts';
import type { OpenModelInfo } from './model-info.ts';
import { TextGenerator } from './text-generator.ts';
import { OnnxModel } from './transformers/engine.ts';

export type ClosingEmbedder = Omit<Embedder, 'embed'> & {
  embed(request: Parameters<Embedder['embed']>[0], signal?: AbortSignal): ReturnType<Embedder['embed']>;
  close(): Promise<void>;
};

export interface OpenCheckpoint {
  /** Longest prompt plus answer that there is room for. */
  context: number;
  /** Undefined for a model that writes nothing. */
  generator: TextGenerator | undefined;
  embedder(): Promise<ClosingEmbedder>;
  /** Ends what runs and frees the model. */
  close(): Promise<void>;
}

/** @throws InkstoneError `package_unavailable`, `model_invalid`, `model_memory` */
export async function openCheckpoint(info: OpenModelInfo, options: LlamaOptions): Promise<OpenCheckpoint> {
  if (info.engine === 'transformers.js') return openFolder(info, options);
  const file = await LlamaFile.open(info.folder, options);
  if (info.reads)
    return {
      context: info.context,
      generator: undefined,
      embedder: () => file.embedder(),
      close: () => file.close(),
    };
  const engine = await file.engine();
  const decoder = new LogitsDecoder(engine);
  return {
    context: engine.context,
    generator: new TextGenerator(file.tokenizer, decoder),
    embedder: () => file.embedder(),
    close: () => decoder.close(),
  };
}

async function openFolder(info: OpenModelInfo, options: LlamaOptions): Promise<OpenCheckpoint> {
  const { maxBatch, threads, packages } = options;
  const model = await OnnxModel.open(info.folder, {
    threads,
    ...(maxBatch === undefined ? {} : { maxBatch }),
    ...(packages === undefined ? {} : { packages }),
  });
  // The generator closes the model where there is one.
  const embedder: ClosingEmbedder = {
    embed: (request, signal) => model.embed(request, signal),
    lengths: (texts) => model.lengths(texts),
    close: () => (info.reads ? model.close() : Promise.resolve()),
  };
  const decoder = info.reads ? undefined : new LogitsDecoder(model.engine());
  return {
    context: info.context,
    generator: decoder === undefined ? undefined : new TextGenerator(model.tokenizer, decoder),
    embedder: () => Promise.resolve(embedder),
    close: () => decoder?.close() ?? model.close(),
  };
}
