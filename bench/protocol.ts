/**
 * What a participant of a benchmark is told and answers: one JSON object a line on its stdin and stdout.
 * Types only; peer.ts speaks it, ours.ts and peers/ answer it.
 */

export interface TensorList {
  /** Raw little-endian values, one tensor after another in this order. */
  file: string;
  tensors: readonly { name: string; shape: readonly number[] }[];
}

export interface ModelShape {
  layers: number;
  heads: number;
  width: number;
  context: number;
  vocabulary: number;
  bias: boolean;
}

export interface OptimiserSettings {
  rate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Of matrices and embeddings; vectors do not decay. */
  weightDecay: number;
  /** Limit of the global gradient norm; none where left out. */
  clip?: number;
}

/** What each step brings, one step after another; all tensors have four bytes an element. */
export interface StepInputs {
  file: string;
  count: number;
  tensors: readonly { name: string; dtype: 'f32' | 'i32'; shape: readonly number[] }[];
}

/** How networks of pictures train: a pair against each other, or one alone. Weights of penalties at every step; 0 for none. */
export type PictureSettings =
  | {
      generatorRate: number;
      criticRate: number;
      optimiser: { beta1: number; beta2: number; epsilon: number };
      r1: number;
      pathLength: number;
      averageHalfLife: number;
    }
  | {
      learningRate: number;
      optimiser: { beta1: number; beta2: number; epsilon: number };
      clip: number;
      /** Decay of the parameter average. */
      ema: number;
    };

export type Work =
  | {
      /** A whole step; a pair gives two losses a step, the critic's and the generator's. */
      work: 'train-image';
      model: Record<string, unknown>;
      batch: number;
      parameters: TensorList;
      inputs: StepInputs;
      settings: PictureSettings;
    }
  | {
      /** One run makes one batch of pictures, to bytes; `tokens` of the answer are the first picture's. */
      work: 'generate-image';
      model: Record<string, unknown>;
      batch: number;
      parameters: TensorList;
      inputs: StepInputs;
      /** Of a denoiser: guidance, and the times with their shares of signal and noise. */
      sampling?: {
        steps: number;
        guidance: number;
        times: readonly number[];
        signal: readonly number[];
        noise: readonly number[];
      };
    }
  | {
      work: 'train-text';
      model: ModelShape;
      batch: number;
      time: number;
      /** f32. */
      parameters: TensorList;
      /** i32 `[count, 2, batch, time]`: tokens, then targets. */
      batches: { file: string; count: number };
      optimiser: OptimiserSettings;
      /** PyTorch only: through `torch.compile`. */
      compiled?: boolean;
    }
  | {
      /** Greedy decoding with a cache; one run is one whole generation of `tokens` tokens after the prompts. */
      work: 'decode';
      model: ModelShape;
      parameters: TensorList;
      prompt: readonly (readonly number[])[];
      tokens: number;
    }
  | {
      /** Greedy streams that all ask at once, and again as soon as they have their answer; one run serves them all. */
      work: 'serve';
      /** Ours: configuration and parameters; llama.cpp: the same model as a file. */
      model: Record<string, unknown>;
      parameters: TensorList;
      gguf: string;
      context: number;
      /** Streams decoded together; the others wait. */
      slots: number;
      /** Each stream's requests, one after another. */
      streams: readonly (readonly { prompt: readonly number[]; tokens: number }[])[];
      batching: 'continuous' | 'static';
      /** Ours: how the weights are kept. llama.cpp's are as its file has them. */
      format?: 'float32' | 'int8' | 'int4';
    }
  | {
      /** Byte-level BPE on one core: learning it, or encoding with a file that both sides read. */
      work: 'tokenizer';
      task: 'train' | 'encode';
      /** A JSON list of texts. */
      file: string;
      tokenizer: string;
      vocabulary: number;
    }
  /** A float32 product of m×k by k×n. */
  | { work: 'gemm'; shape: readonly [number, number, number] }
  /** `read`: the sum of an array, 4 bytes an element. `triad`: a + s·b into c, 12 bytes an element. */
  | { work: 'bandwidth'; kind: 'read' | 'triad'; elements: number };

export type Call =
  | { do: 'describe' }
  | ({ do: 'prepare'; name: string } & Work)
  | { do: 'run'; name: string; count: number }
  | { do: 'free'; name: string }
  | { do: 'memory' };

export interface Description {
  name: string;
  version: string;
  threads: number;
  facts: Record<string, unknown>;
}

export interface RunAnswer {
  /** One for each run, in order. */
  seconds: number[];
  losses?: number[];
  /** Seconds from each request to its first token. */
  waits?: number[];
  /** Compute threads, where the participant chose them. */
  threads?: number;
  /** Greedy tokens of the first sequence. */
  tokens?: number[];
}

export interface AnswerOf {
  describe: Description;
  prepare: Record<string, never>;
  run: RunAnswer;
  free: Record<string, never>;
  /** Most resident memory so far, in bytes. */
  memory: { peak: number };
}

export type Answer = { id: number; value: unknown } | { id: number; error: string };
