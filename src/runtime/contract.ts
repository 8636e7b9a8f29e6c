/**
 * The backend contract: what runs a tensor program. Three backends stand behind it (ONNX Runtime on the
 * CPU, ONNX Runtime on WebGPU, the float64 reference) and one conformance suite tests them all.
 * Types only.
 */
import type { DType, HostTensor, HostTensors } from '../base/tensor.ts';
import type { Program } from '../program/types.ts';

export type BackendName = 'cpu' | 'webgpu' | 'reference';

export interface CompileOptions {
  /** Values for symbolic sizes; sizes left out stay free and are taken from each run's inputs. */
  sizes?: Record<string, number>;
  /** These inputs become constants of the graph (packed once): for serving, never for training. */
  constants?: HostTensors;
  /** Collect a profile; slower. */
  profile?: boolean;
}

/** One event of a profile, in microseconds from the session's first. */
export interface ProfileEvent {
  readonly name: string;
  readonly op: string;
  /** Size of what it made. */
  readonly bytes: number;
  readonly start: number;
  readonly duration: number;
}

/**
 * Tensors that stay with the backend between runs: parameters, optimiser state, a key-value cache.
 * Names are unique within one set.
 */
export interface Resident {
  readonly names: readonly string[];
  /** Copies out (all, or those named). */
  read(names?: readonly string[]): Promise<HostTensors>;
  /** Copies in; names must be there, with the same dtype; a new shape replaces the old one. */
  write(tensors: HostTensors): Promise<void>;
  /** Gives `axis` the new size; kept rows stay, new rows are zero. */
  resize(names: readonly string[], axis: number, size: number): Promise<void>;
  /** Copies rows of axis 0, one after another: row `from[i]` to row `to[i]`. */
  copyRows(names: readonly string[], from: readonly number[], to: readonly number[]): Promise<void>;
  /** Copies a part of each tensor out, `[1, …, count, …]`. @throws InkstoneError `row_out_of_range` */
  readPart(names: readonly string[], part: Part): Promise<HostTensors>;
  /** Copies parts in. @throws InkstoneError `row_out_of_range` */
  writePart(tensors: HostTensors, part: Part): Promise<void>;
  free(): Promise<void>;
}

/** One row of axis 0, and `count` places of `axis` from `at`. */
export interface Part {
  row: number;
  axis: number;
  at: number;
  count: number;
}

/**
 * Puts `output` (rank r) into the resident tensor `into` along `axis`: for each index b of axis 0,
 * `into[b, …, at[b] : at[b] + count[b], …] = output[b, …, 0 : count[b], …]`.
 * `count` defaults to the output's whole axis. Axis 0 of output row b goes to row `rows[b]` of `into`
 * (default: b). An output may hold what goes into several tensors, one after another along its axis 1 (then `axis` is 2
 * or more): `first` is where that of `into` begins, and as much is taken as `into` has there.
 */
export interface RowWrite {
  output: string;
  into: string;
  axis: number;
  first?: number;
  at: readonly number[];
  count?: readonly number[];
  rows?: readonly number[];
}

export interface RunCall {
  /** Given for this run only. */
  inputs?: HostTensors;
  /** Inputs not given above are looked up by name here, in order. */
  resident?: readonly Resident[];
  /** `{ output: resident name }`: the output becomes that tensor's next value (buffers swap, no copy). */
  update?: Record<string, string>;
  /** Rows written into resident tensors after the run. */
  write?: readonly RowWrite[];
  /** Outputs to hand back; default: all that are in neither `update` nor `write`. */
  fetch?: readonly string[];
}

export interface Executable {
  readonly program: Program;
  /** @throws InkstoneError `input_missing`, `input_mismatch`, `run_failed` */
  run(call: RunCall): Promise<HostTensors>;
  /** Empty unless compiled with `profile`. Ends profiling. */
  profile(): Promise<readonly ProfileEvent[]>;
  free(): Promise<void>;
}

/** What an ONNX file takes or gives. Names of sizes are open ones; without a shape not even the rank is known. */
export interface GivenValue {
  name: string;
  dtype: DType;
  shape?: readonly (number | string)[];
}

/** Somebody else's graph, from its file. */
export interface GivenGraph {
  readonly inputs: readonly GivenValue[];
  readonly outputs: readonly GivenValue[];
  /** What the file says of itself. */
  readonly metadata: Readonly<Record<string, string>>;
  /** All outputs, or those named. @throws InkstoneError `run_failed` */
  run(inputs: HostTensors, outputs?: readonly string[]): Promise<HostTensors>;
  free(): Promise<void>;
}

export interface Backend {
  readonly name: BackendName;
  /** e.g. `onnxruntime-node 1.30.0, CPU, 2 threads` */
  readonly description: string;
  compile(program: Program, options?: CompileOptions): Promise<Executable>;
  resident(tensors: HostTensors): Promise<Resident>;
  /**
   * A graph that was not written here; only backends that read ONNX files have this.
   * @throws InkstoneError `onnx_corrupt`, `onnx_unsupported`, `compile_failed`
   */
  openOnnx?(bytes: Uint8Array, name: string): Promise<GivenGraph>;
  close(): Promise<void>;
}

export interface BackendOptions {
  /** Compute threads; default: the number of cores. */
  threads?: number;
  /**
   * A file that keeps how each convolution is computed, so that a run which goes on computes the same bytes. What was
   * measured is kept in INKSTONE_HOME besides, for all runs.
   */
  choices?: string;
  /** Run sessions in the calling thread: only for a process that does nothing else (a model host). */
  inline?: boolean;
}

export type { HostTensor };
