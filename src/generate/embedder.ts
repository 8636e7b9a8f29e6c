/**
 * Vectors of many token sequences: the long with the long and the short with the short, so that little is padded.
 * Sees tokens and tensors, never text.
 */
import { InkstoneError } from '../base/errors.ts';
import { type HostTensor, type HostTensors, tensor } from '../base/tensor.ts';
import type { Program } from '../program/types.ts';
import type { Backend, Executable } from '../runtime/contract.ts';

export interface EmbedderModel {
  backend: Backend;
  /** Longest sequence. */
  context: number;
  width: number;
  /** `tokens` [batch, time], `length` [batch] i32 → `embedding` [batch, width]. */
  program: Program;
  parameters: HostTensors;
}

/** Tokens of a batch, padding among them: the longest that other work in the same thread waits. */
const BATCH_TOKENS = 2048;
/** Sequences are padded to multiples of this, so that few shapes come up. */
const MULTIPLE = 16;

export class SequenceEmbedder {
  private readonly model: EmbedderModel;
  private readonly executable: Executable;

  private constructor(model: EmbedderModel, executable: Executable) {
    this.model = model;
    this.executable = executable;
  }

  static async open(model: EmbedderModel): Promise<SequenceEmbedder> {
    return new SequenceEmbedder(
      model,
      await model.backend.compile(model.program, { constants: model.parameters }),
    );
  }

  /**
   * In the order of the sequences, each of at least one token and at most the context.
   * @throws InkstoneError `cancelled` between two batches
   */
  async embed(sequences: readonly (readonly number[])[], signal?: AbortSignal): Promise<Float32Array[]> {
    const { context, width } = this.model;
    const found = new Array<Float32Array>(sequences.length);
    for (const { rows, time } of batchesOf(sequences, context)) {
      if (signal?.aborted === true)
        throw new InkstoneError('cancelled', 'the request was cancelled', { kind: 'usage' });
      const tokens = new Int32Array(rows.length * time);
      const lengths = new Int32Array(rows.length);
      rows.forEach((row, i) => {
        const sequence = sequences[row] as readonly number[];
        tokens.set(sequence, i * time);
        lengths[i] = sequence.length;
      });
      const { embedding } = await this.executable.run({
        inputs: {
          tokens: tensor('i32', [rows.length, time], tokens),
          length: tensor('i32', [rows.length], lengths),
        },
      });
      const { data } = embedding as HostTensor<'f32'>;
      rows.forEach((row, i) => {
        found[row] = Float32Array.from(data.subarray(i * width, (i + 1) * width));
      });
      // What else the thread has to do, a cancellation among it, comes between two batches.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return found;
  }

  close(): Promise<void> {
    return this.executable.free();
  }
}

/** Rows of about the same length, at most `BATCH_TOKENS` with their padding, or one row. */
export function batchesOf(
  sequences: readonly (readonly number[])[],
  context: number,
): { rows: number[]; time: number }[] {
  const lengths = sequences.map(({ length }) => length);
  const order = lengths.map((_, row) => row).sort((a, b) => (lengths[b] as number) - (lengths[a] as number));
  const batches: { rows: number[]; time: number }[] = [];
  for (const row of order) {
    const last = batches.at(-1);
    if (last !== undefined && (last.rows.length + 1) * last.time <= BATCH_TOKENS) last.rows.push(row);
    else {
      const time = Math.min(context, Math.ceil((lengths[row] as number) / MULTIPLE) * MULTIPLE);
      batches.push({ rows: [row], time });
    }
  }
  return batches;
}
