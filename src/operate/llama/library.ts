/**
 * The part of node-llama-cpp that is used here, and how it is loaded: it comes with no install, so its types cannot be
 * imported. Knows no requests.
 */
import { pathToFileURL } from 'node:url';
import { InkstoneError } from '../../base/errors.ts';
import { entryOf, type InstallOptions, install } from '../packages/install.ts';

export interface LlamaSequence {
  readonly nextTokenIndex: number;
  readonly contextTokens: readonly number[];
  adaptStateToTokens(tokens: readonly number[], allowShift: boolean): Promise<void>;
  clearHistory(): Promise<void>;
  controlledEvaluate(
    input: readonly (
      | number
      | [number, { generateNext: { logits: true | { filter: { tokens: []; includeTop: number } } } }]
    )[],
  ): Promise<({ next: { logits?: ReadonlyMap<number, number> } } | undefined)[]>;
}

export interface LlamaContext {
  readonly contextSize: number;
  getSequence(): LlamaSequence;
  dispose(): Promise<void>;
}

export interface LlamaEmbeddingContext {
  getEmbeddingFor(tokens: readonly number[]): Promise<{ vector: readonly number[] }>;
  calculateInputLength(tokens: readonly number[]): number;
  dispose(): Promise<void>;
}

export interface LlamaModel {
  readonly tokens: {
    bos: number | null;
    eos: number | null;
    eot: number | null;
    shouldPrependBosToken: boolean;
  };
  readonly embeddingVectorSize: number;
  tokenize(text: string, specialTokens: boolean): number[];
  isEogToken(token: number): boolean;
  createContext(options: {
    contextSize: number;
    sequences: number;
    threads: number;
    batchSize: number;
  }): Promise<LlamaContext>;
  createEmbeddingContext(options: {
    contextSize: number;
    batchSize: number;
    threads: number;
  }): Promise<LlamaEmbeddingContext>;
  dispose(): Promise<void>;
}

export interface Llama {
  loadModel(options: {
    modelPath: string;
    gpuLayers: 0;
    onLoadProgress?(share: number): void;
  }): Promise<LlamaModel>;
  dispose(): Promise<void>;
  /** What llama.cpp last complained of. */
  complaint(): string | undefined;
}

interface Library {
  getLlama(options: {
    gpu: false;
    build: 'never';
    skipDownload: true;
    progressLogs: false;
    maxThreads: number;
    logLevel: 'error';
    logger(level: string, message: string): void;
  }): Promise<Omit<Llama, 'complaint'>>;
}

/** Fetches the package where it is missing. @throws InkstoneError `package_unavailable`, `engine_failed` */
export async function openLlama(threads: number, options: InstallOptions = {}): Promise<Llama> {
  const installed = await install('llama', options);
  let last: string | undefined;
  try {
    const library = (await import(pathToFileURL(await entryOf(installed)).href)) as Library;
    const llama = await library.getLlama({
      gpu: false,
      build: 'never',
      skipDownload: true,
      progressLogs: false,
      maxThreads: threads,
      logLevel: 'error',
      logger: (_level, message) => {
        last = message.trim();
      },
    });
    return {
      loadModel: (given) => llama.loadModel(given),
      dispose: () => llama.dispose(),
      complaint: () => last,
    };
  } catch (cause) {
    throw new InkstoneError('engine_failed', `llama.cpp does not start here: ${(cause as Error).message}`, {
      kind: 'unsupported',
      hint: `its files are in ${installed.folder}; delete them and repeat if they may be damaged`,
      cause,
    });
  }
}
