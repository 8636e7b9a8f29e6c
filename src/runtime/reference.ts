/** The float64 oracle as a backend: slow, exact, for tests. Resident tensors keep their float64 values. */
import { InkstoneError } from '../base/errors.ts';
import { type DType, type HostTensor, type HostTensors, sizeOf } from '../base/tensor.ts';
import { evaluate, toReference } from '../program/evaluate.ts';
import { hostOf } from '../program/host-value.ts';
import type { ReferenceValue } from '../program/operation.ts';
import { bindSizes } from '../program/trace.ts';
import type { Program } from '../program/types.ts';
import type { Backend, CompileOptions, Executable, Part, Resident, RowWrite, RunCall } from './contract.ts';

export function openReference(): Backend {
  return {
    name: 'reference',
    description: 'float64 reference',
    compile: async (program, options = {}) => new ReferenceExecutable(program, options),
    resident: async (tensors) => new ReferenceResident(tensors),
    close: async () => {},
  };
}

interface Value extends ReferenceValue {
  readonly dtype: DType;
}

const toHost = ({ dtype, shape, data }: Value): HostTensor => hostOf(dtype, shape, Array.from(data));

class ReferenceResident implements Resident {
  readonly names: readonly string[];
  readonly values = new Map<string, Value>();

  constructor(tensors: HostTensors) {
    this.names = Object.keys(tensors);
    for (const [name, tensor] of Object.entries(tensors))
      this.values.set(name, { dtype: tensor.dtype, ...toReference(tensor) });
  }

  get(name: string): Value {
    const value = this.values.get(name);
    if (value === undefined)
      throw new InkstoneError('resident_missing', `there is no resident tensor "${name}"`);
    return value;
  }

  async read(names: readonly string[] = this.names): Promise<HostTensors> {
    return Object.fromEntries(names.map((name) => [name, toHost(this.get(name))]));
  }

  async write(tensors: HostTensors): Promise<void> {
    for (const [name, tensor] of Object.entries(tensors)) {
      if (this.get(name).dtype !== tensor.dtype)
        throw new InkstoneError(
          'input_mismatch',
          `"${name}" is ${this.get(name).dtype}, not ${tensor.dtype}`,
        );
      this.values.set(name, { dtype: tensor.dtype, ...toReference(tensor) });
    }
  }

  async resize(names: readonly string[], axis: number, size: number): Promise<void> {
    for (const name of names) {
      const { dtype, shape, data } = this.get(name);
      const target = shape.map((s, i) => (i === axis ? size : s));
      const next = new Float64Array(sizeOf(target));
      const inner = sizeOf(shape.slice(axis + 1));
      const before = (shape[axis] as number) * inner;
      for (let o = 0; o < sizeOf(shape.slice(0, axis)); o++) {
        next.set(data.subarray(o * before, o * before + Math.min(before, size * inner)), o * size * inner);
      }
      this.values.set(name, { dtype, shape: target, data: next });
    }
  }

  async copyRows(names: readonly string[], from: readonly number[], to: readonly number[]): Promise<void> {
    for (const name of names) {
      const { shape, data } = this.get(name);
      const size = sizeOf(shape.slice(1));
      from.forEach((row, i) => {
        data.copyWithin((to[i] as number) * size, row * size, (row + 1) * size);
      });
    }
  }

  async readPart(names: readonly string[], part: Part): Promise<HostTensors> {
    return Object.fromEntries(
      names.map((name) => {
        const value = this.get(name);
        const places = placesOf(value.shape, part);
        const shape = value.shape.map((s, i) => (i === 0 ? 1 : i === part.axis ? part.count : s));
        const data = Float64Array.from(places, (place) => value.data[place] as number);
        return [name, toHost({ dtype: value.dtype, shape, data })];
      }),
    );
  }

  async writePart(tensors: HostTensors, part: Part): Promise<void> {
    for (const [name, tensor] of Object.entries(tensors)) {
      const { shape, data } = this.get(name);
      placesOf(shape, part).forEach((place, i) => {
        data[place] = Number(tensor.data[i]);
      });
    }
  }

  async free(): Promise<void> {
    this.values.clear();
  }
}

/** Flat places of a part, in its own order. @throws InkstoneError `row_out_of_range` */
function placesOf(shape: readonly number[], { row, axis, at, count }: Part): number[] {
  const inner = sizeOf(shape.slice(axis + 1));
  const size = shape[axis] as number;
  if (row >= (shape[0] as number) || at + count > size)
    throw new InkstoneError('row_out_of_range', `row ${row}, ${at}…${at + count} does not fit [${shape}]`);
  return Array.from({ length: sizeOf(shape.slice(1, axis)) }, (_, m) => m).flatMap((m) =>
    Array.from(
      { length: count * inner },
      (_, i) => ((row * sizeOf(shape.slice(1, axis)) + m) * size + at) * inner + i,
    ),
  );
}

class ReferenceExecutable implements Executable {
  readonly program: Program;
  private readonly options: CompileOptions;

  constructor(program: Program, options: CompileOptions) {
    this.program = program;
    this.options = options;
  }

  async run(call: RunCall): Promise<HostTensors> {
    const sets = (call.resident ?? []) as readonly ReferenceResident[];
    const sizes: Record<string, number> = { ...this.options.sizes };
    const values = this.program.inputs.map(({ name, tensor }): ReferenceValue => {
      const given = call.inputs?.[name] ?? this.options.constants?.[name];
      const value =
        given !== undefined ? toReference(given) : sets.find((set) => set.values.has(name))?.get(name);
      if (value === undefined)
        throw new InkstoneError('input_missing', `the input "${name}" was not given`, { kind: 'usage' });
      if (tensor.shape.length !== value.shape.length)
        throw new InkstoneError('input_mismatch', `"${name}" has the wrong number of axes`, {
          kind: 'usage',
        });
      tensor.shape.forEach((size, axis) => {
        const own = value.shape[axis] as number;
        if (typeof size === 'string') sizes[size] ??= own;
        if ((typeof size === 'string' ? (sizes[size] as number) : size) !== own) {
          throw new InkstoneError(
            'input_mismatch',
            `"${name}" has size ${own} at axis ${axis}, not ${size}`,
            { kind: 'usage' },
          );
        }
      });
      return value;
    });
    const bound = bindSizes(this.program, sizes);
    const results = new Map<string, Value>();
    evaluate(bound, values).forEach((value, i) => {
      const output = bound.outputs[i] as Program['outputs'][number];
      results.set(output.name, { dtype: output.tensor.dtype, ...value });
    });
    const find = (name: string): ReferenceResident => {
      const set = sets.find((s) => s.values.has(name));
      if (set === undefined)
        throw new InkstoneError('resident_missing', `there is no resident tensor "${name}"`);
      return set;
    };
    for (const [output, name] of Object.entries(call.update ?? {}))
      find(name).values.set(name, results.get(output) as Value);
    for (const write of call.write ?? [])
      writeRows(results.get(write.output) as Value, find(write.into).get(write.into), write);
    const silent = new Set([...Object.keys(call.update ?? {}), ...(call.write ?? []).map((w) => w.output)]);
    const fetch = call.fetch ?? this.program.outputs.map((o) => o.name).filter((name) => !silent.has(name));
    return Object.fromEntries(fetch.map((name) => [name, toHost(results.get(name) as Value)]));
  }

  async profile(): Promise<readonly []> {
    return [];
  }

  async free(): Promise<void> {}
}

function writeRows(output: Value, into: Value, { axis, first = 0, at, count, rows }: RowWrite): void {
  const inner = sizeOf(output.shape.slice(axis + 1));
  const middle = sizeOf(into.shape.slice(1, axis));
  const all = sizeOf(output.shape.slice(1, axis));
  const skipped = first * sizeOf(output.shape.slice(2, axis));
  if (skipped + middle > all)
    throw new InkstoneError('row_out_of_range', `${middle} lines from ${skipped} are not in ${all}`);
  const own = output.shape[axis] as number;
  const size = into.shape[axis] as number;
  for (let b = 0; b < (output.shape[0] as number); b++) {
    const row = rows?.[b] ?? b;
    const many = count?.[b] ?? own;
    if (row < 0 || many === 0) continue;
    if ((at[b] as number) + many > size)
      throw new InkstoneError('row_out_of_range', `rows do not fit an axis of ${size}`);
    for (let m = 0; m < middle; m++) {
      const start = (b * all + skipped + m) * own * inner;
      into.data.set(
        output.data.subarray(start, start + many * inner),
        ((row * middle + m) * size + (at[b] as number)) * inner,
      );
    }
  }
}
