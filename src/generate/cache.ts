/**
 * Keys and values of a batch: one row a sequence, a length that grows in small steps so that the cost follows the
 * real length, rows that move when sequences leave. Knows no tokens and no sampling.
 */
import { type HostTensors, zeros } from '../base/tensor.ts';
import type { Backend, Resident, RowWrite } from '../runtime/contract.ts';

export interface CacheShape {
  layers: number;
  /** Heads of keys and values. */
  heads: number;
  headDim: number;
}

/** Places are added this many at a time: growing in place is cheap, and every place is read at every step. */
const BUCKET = 32;

export const bytesPerToken = ({ layers, heads, headDim }: CacheShape): number => 8 * layers * heads * headDim;

export const bucketOf = (length: number, context: number): number =>
  Math.min(context, Math.ceil(length / BUCKET) * BUCKET);

export class Cache {
  readonly names: readonly string[];
  private readonly backend: Backend;
  private readonly shape: CacheShape;
  private readonly context: number;
  private held: Resident | undefined;
  rows = 0;
  /** Places of a row. */
  length = 0;

  constructor(backend: Backend, shape: CacheShape, context: number) {
    this.backend = backend;
    this.shape = shape;
    this.context = context;
    this.names = Array.from({ length: shape.layers }, (_, l) => [`keys.${l}`, `values.${l}`]).flat();
  }

  get resident(): Resident[] {
    return this.held === undefined ? [] : [this.held];
  }

  /** Makes it hold `rows` sequences of `length` tokens each; never shortens rows. */
  async reserve(rows: number, length: number): Promise<void> {
    // Empty rows may become shorter again: nothing is moved for it.
    const places = Math.max(this.rows === 0 ? 0 : this.length, bucketOf(length, this.context));
    const { heads, headDim } = this.shape;
    if (this.held === undefined) {
      this.held = await this.backend.resident(
        Object.fromEntries(this.names.map((name) => [name, zeros('f32', [rows, heads, places, headDim])])),
      );
    } else {
      if (places !== this.length) await this.held.resize(this.names, 2, places);
      if (rows !== this.rows) await this.held.resize(this.names, 0, rows);
    }
    this.rows = rows;
    this.length = places;
  }

  /** Of what it holds now. */
  get bytes(): number {
    return this.rows * this.length * bytesPerToken(this.shape);
  }

  /** Gives places back where fewer than three quarters of them are needed. */
  async shorten(length: number): Promise<void> {
    const places = bucketOf(length, this.context);
    if (this.held === undefined || this.rows === 0 || 4 * places > 3 * this.length) return;
    await this.held.resize(this.names, 2, places);
    this.length = places;
  }

  /** What puts the output `new_rows` of a step into place: all layers' keys and values, one after another. */
  stepWrites(at: readonly number[], rows: readonly number[]): RowWrite[] {
    const { heads } = this.shape;
    return this.names.map((into, i) => ({
      ...{ output: 'new_rows', into, axis: 2, first: i * heads, at, rows },
    }));
  }

  /** What puts a program's outputs `PREFIX keys.L`, `PREFIX values.L` into place. */
  writes(
    prefix: '' | 'new_',
    at: readonly number[],
    rows: readonly number[],
    count?: readonly number[],
  ): RowWrite[] {
    return this.names.map((into) => ({
      output: `${prefix}${into}`,
      into,
      axis: 2,
      at,
      rows,
      ...(count === undefined ? {} : { count }),
    }));
  }

  /** Row `from[i]` becomes row i; the rest go. The memory stays, for those that come next. */
  async keep(from: readonly number[]): Promise<void> {
    if (this.held === undefined) return;
    const moved = from.map((row, to) => [row, to] as const).filter(([row, to]) => row !== to);
    if (moved.length > 0)
      await this.held.copyRows(
        this.names,
        moved.map(([row]) => row),
        moved.map(([, to]) => to),
      );
    if (from.length !== this.rows) await this.held.resize(this.names, 0, from.length);
    this.rows = from.length;
  }

  /** Copies rows over others. */
  async copy(rows: readonly { from: number; to: number }[]): Promise<void> {
    if (rows.length > 0)
      await this.held?.copyRows(
        this.names,
        rows.map(({ from }) => from),
        rows.map(({ to }) => to),
      );
  }

  /** The first `count` places of a row, for the host. */
  async read(row: number, count: number): Promise<HostTensors> {
    return this.held === undefined ? {} : this.held.readPart(this.names, { row, axis: 2, at: 0, count });
  }

  /** The other way; `part` may hold more places than `count`. */
  async write(row: number, part: HostTensors, count: number): Promise<void> {
    await this.held?.writePart(shortened(part, count), { row, axis: 2, at: 0, count });
  }

  async free(): Promise<void> {
    await this.held?.free();
    this.held = undefined;
    this.rows = 0;
    this.length = 0;
  }
}

/** The first `count` places of parts `[1, heads, places, dim]`. */
function shortened(part: HostTensors, count: number): HostTensors {
  return Object.fromEntries(
    Object.entries(part).map(([name, tensor]) => {
      const [one, heads, places, dim] = tensor.shape as [number, number, number, number];
      if (places === count) return [name, tensor];
      const made = zeros('f32', [one, heads, count, dim]);
      for (let h = 0; h < heads; h++) {
        const start = h * places * dim;
        made.data.set((tensor.data as Float32Array).subarray(start, start + count * dim), h * count * dim);
      }
      return [name, made];
    }),
  );
}
