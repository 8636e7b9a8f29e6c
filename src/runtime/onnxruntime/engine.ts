/**
 * Sessions and resident tensors over onnxruntime-node, in the thread that calls it. Answers requests;
 * does not know whether they come from its own thread or another.
 */
import * as ort from 'onnxruntime-node';
import { InkstoneError } from '../../base/errors.ts';
import { monotonic } from '../../base/host.ts';
import type { DType, HostTensor, HostTensors } from '../../base/tensor.ts';
import type { Part, ProfileEvent, RowWrite } from '../contract.ts';
import { fromOrt, toOrt } from './convert.ts';
import { readProfile } from './profile.ts';
import {
  copySlotRows,
  dropSlot,
  readSlotPart,
  resizeSlot,
  type Slot,
  slotOf,
  spareOf,
  writeRows,
  writeSlotPart,
} from './slots.ts';

export interface EngineOptions {
  provider: 'cpu' | 'webgpu';
  threads: number;
}

export interface RunRequest {
  session: number;
  inputs: HostTensors;
  resident: readonly number[];
  update: Readonly<Record<string, string>>;
  write: readonly RowWrite[];
  fetch: readonly string[];
}

/**
 * Microseconds for which a session's threads wait awake for their next work. Long enough for the gap between two
 * steps; the runtime's own wait goes on for tens of milliseconds and takes processors from the next session.
 */
const SPIN = '1000';

interface Session {
  bytes: Uint8Array | undefined;
  name: string;
  profile: string | undefined;
  /** Outputs of the last run that were only copied from, and the input sizes they belong to. */
  scratch: { sizes: string; outputs: Readonly<Record<string, ort.Tensor>> } | undefined;
  /** WebGPU sessions are made at their first run, when it is known which outputs stay on the GPU. */
  open: Map<string, ort.InferenceSession>;
}

export class Engine {
  private readonly options: EngineOptions;
  private readonly sessions = new Map<number, Session>();
  private readonly sets = new Map<number, Map<string, Slot>>();
  /** Freed, but tensors on the GPU may be in memory that is theirs: letting go of that after them ends the process. */
  private readonly retired: ort.InferenceSession[] = [];
  private next = 1;

  constructor(options: EngineOptions) {
    this.options = options;
  }

  /** @throws InkstoneError `compile_failed`, `device_missing` */
  async compile(bytes: Uint8Array, name: string, profile?: string): Promise<number> {
    const session: Session = { bytes, name, profile, scratch: undefined, open: new Map() };
    if (this.options.provider === 'cpu') {
      await this.openSession(session, []);
      session.bytes = undefined;
    }
    const id = this.next++;
    this.sessions.set(id, session);
    return id;
  }

  /** Milliseconds of each model's best run; they take turns, so that what disturbs one disturbs all. */
  async time(models: readonly Uint8Array[], inputs: HostTensors, runs: number): Promise<number[]> {
    const ids = await Promise.all(models.map((bytes) => this.compile(bytes, 'measured')));
    const best = models.map(() => Number.POSITIVE_INFINITY);
    for (let run = 0; run < runs; run++)
      for (const [i, session] of ids.entries()) {
        const start = monotonic();
        await this.run({ session, inputs, resident: [], update: {}, write: [], fetch: ['y'] });
        best[i] = Math.min(best[i] as number, monotonic() - start);
      }
    for (const id of ids) await this.free(id);
    return best;
  }

  private async openSession(session: Session, staying: readonly string[]): Promise<ort.InferenceSession> {
    const key = this.options.provider === 'cpu' ? '' : staying.join();
    const before = session.open.get(key);
    if (before !== undefined) return before;
    const onGpu = this.options.provider === 'webgpu';
    try {
      const made = await ort.InferenceSession.create(session.bytes as Uint8Array, {
        executionProviders: [this.options.provider],
        intraOpNumThreads: this.options.threads,
        interOpNumThreads: 1,
        executionMode: 'sequential',
        graphOptimizationLevel: 'all',
        // Fatal only: every other error is thrown and told once.
        logSeverityLevel: 4,
        ...(onGpu && staying.length > 0
          ? { preferredOutputLocation: Object.fromEntries(staying.map((n) => [n, 'gpu-buffer' as const])) }
          : {}),
        ...(session.profile === undefined
          ? {}
          : { enableProfiling: true, profileFilePrefix: session.profile }),
        extra: { session: { set_denormal_as_zero: '1', intra_op: { spin_duration_us: SPIN } } },
      });
      session.open.set(key, made);
      return made;
    } catch (cause) {
      if (onGpu && /adapter/i.test(messageOf(cause)))
        throw new InkstoneError('device_missing', 'WebGPU finds no graphics processor on this machine', {
          kind: 'unsupported',
          hint: 'leave the device out to compute on the CPU; on Linux WebGPU needs a Vulkan driver (libvulkan.so.1)',
          cause,
        });
      throw new InkstoneError(
        'compile_failed',
        `ONNX Runtime refused the program ${session.name}: ${messageOf(cause)}`,
        { cause },
      );
    }
  }

  resident(tensors: HostTensors): number {
    const id = this.next++;
    const set = new Map<string, Slot>();
    for (const [name, tensor] of Object.entries(tensors)) set.set(name, slotOf(tensor));
    this.sets.set(id, set);
    return id;
  }

  private set(id: number): Map<string, Slot> {
    const set = this.sets.get(id);
    if (set === undefined) throw new InkstoneError('resident_missing', 'these resident tensors were freed');
    return set;
  }

  private slot(id: number, name: string): Slot {
    const slot = this.set(id).get(name);
    if (slot === undefined)
      throw new InkstoneError('resident_missing', `there is no resident tensor "${name}"`);
    return slot;
  }

  async read(id: number, names: readonly string[]): Promise<HostTensors> {
    const result: Record<string, HostTensor> = {};
    for (const name of names) {
      const { dtype, shape, value } = this.slot(id, name);
      const source = value.location === 'cpu' ? value : await this.download(value, dtype, shape);
      result[name] = { dtype, shape, data: fromOrt(source, dtype).slice() as never };
    }
    return result;
  }

  /** `getData()` on a GPU tensor aborts the process; a small identity program reads it back. */
  private async download(value: ort.Tensor, dtype: DType, shape: readonly number[]): Promise<ort.Tensor> {
    const { identityModel } = await import('./identity.ts');
    const session = await ort.InferenceSession.create(identityModel(dtype, shape.length), {
      executionProviders: ['webgpu'],
      logSeverityLevel: 3,
    });
    const { y } = await session.run({ x: value });
    await session.release();
    return y as ort.Tensor;
  }

  write(id: number, tensors: HostTensors): void {
    const set = this.set(id);
    for (const [name, tensor] of Object.entries(tensors)) {
      const before = this.slot(id, name);
      if (before.dtype !== tensor.dtype)
        throw new InkstoneError('input_mismatch', `"${name}" is ${before.dtype}, not ${tensor.dtype}`);
      dropSlot(before);
      set.set(name, slotOf(tensor));
    }
  }

  async resize(id: number, names: readonly string[], axis: number, size: number): Promise<void> {
    for (const name of names) resizeSlot(await this.inHost(id, name), axis, size);
  }

  async copyRows(
    id: number,
    names: readonly string[],
    from: readonly number[],
    to: readonly number[],
  ): Promise<void> {
    for (const name of names) copySlotRows(await this.inHost(id, name), from, to);
  }

  async readPart(id: number, names: readonly string[], part: Part): Promise<HostTensors> {
    const result: Record<string, HostTensor> = {};
    for (const name of names) result[name] = readSlotPart(await this.inHost(id, name), part);
    return result;
  }

  async writePart(id: number, tensors: HostTensors, part: Part): Promise<void> {
    for (const [name, tensor] of Object.entries(tensors))
      writeSlotPart(await this.inHost(id, name), tensor, part);
  }

  /** The slot, its value brought into host memory where it was on the GPU. */
  private async inHost(id: number, name: string): Promise<Slot> {
    const slot = this.slot(id, name);
    if (slot.value.location === 'cpu') return slot;
    this.write(id, await this.read(id, [name]));
    return this.slot(id, name);
  }

  async freeResident(id: number): Promise<void> {
    for (const slot of this.sets.get(id)?.values() ?? []) dropSlot(slot);
    this.sets.delete(id);
    if (!this.holdsGpu()) for (const session of this.retired.splice(0)) await session.release();
  }

  private holdsGpu(): boolean {
    return [...this.sets.values()].some((set) =>
      [...set.values()].some(({ value }) => value.location !== 'cpu'),
    );
  }

  /** @throws InkstoneError `input_missing`, `run_failed`, `memory_full` */
  async run(request: RunRequest): Promise<HostTensors> {
    const session = this.sessions.get(request.session);
    if (session === undefined) throw new InkstoneError('session_missing', 'this executable was freed');
    const open = await this.openSession(session, Object.keys(request.update));
    const feeds: Record<string, ort.Tensor> = {};
    for (const name of open.inputNames) feeds[name] = this.feed(name, request);
    const fetches: Record<string, ort.Tensor | null> = {};
    for (const name of request.fetch) fetches[name] = null;
    const reused = this.options.provider === 'cpu' && request.write.length > 0;
    const sizes = reused
      ? Object.values(feeds)
          .map(({ dims }) => dims.join())
          .join(' ')
      : '';
    const scratch = reused && session.scratch?.sizes === sizes ? session.scratch.outputs : undefined;
    for (const { output } of request.write)
      fetches[output] = request.fetch.includes(output) ? null : (scratch?.[output] ?? null);
    const targets = Object.entries(request.update).map(([output, name]) => ({
      output,
      slot: this.find(name, request),
    }));
    for (const { output, slot } of targets)
      fetches[output] = this.options.provider === 'cpu' ? spareOf(slot) : null;
    let results: ort.InferenceSession.OnnxValueMapType;
    try {
      results = (await open.run(
        feeds,
        fetches as Record<string, ort.Tensor>,
      )) as ort.InferenceSession.OnnxValueMapType;
    } catch (cause) {
      throw runError(session.name, messageOf(cause), cause);
    }
    for (const { output, slot } of targets) {
      if (this.options.provider === 'cpu') {
        const { value } = slot;
        slot.value = slot.spare as ort.Tensor;
        slot.spare = value;
        slot.room = undefined;
      } else {
        slot.value.dispose();
        slot.value = results[output] as ort.Tensor;
      }
    }
    for (const write of request.write)
      writeRows(results[write.output] as ort.Tensor, this.find(write.into, request), write);
    if (reused && scratch === undefined)
      session.scratch = {
        sizes,
        outputs: Object.fromEntries(
          request.write
            .filter(({ output }) => !request.fetch.includes(output))
            .map(({ output }) => [output, results[output] as ort.Tensor]),
        ),
      };
    const answers: Record<string, HostTensor> = {};
    for (const name of request.fetch) {
      const value = results[name] as ort.Tensor;
      const { dtype, data } = toHost(value);
      answers[name] = { dtype, shape: value.dims, data } as HostTensor;
    }
    return answers;
  }

  private find(name: string, request: RunRequest): Slot {
    for (const id of request.resident) {
      const slot = this.set(id).get(name);
      if (slot !== undefined) return slot;
    }
    throw new InkstoneError('resident_missing', `there is no resident tensor "${name}"`);
  }

  private feed(name: string, request: RunRequest): ort.Tensor {
    const given = request.inputs[name];
    if (given !== undefined) return toOrt(given);
    for (const id of request.resident) {
      const slot = this.set(id).get(name);
      if (slot !== undefined) return slot.value;
    }
    throw new InkstoneError('input_missing', `the input "${name}" was not given`);
  }

  async profile(id: number): Promise<readonly ProfileEvent[]> {
    const session = this.sessions.get(id);
    if (session?.profile === undefined) return [];
    for (const open of session.open.values()) open.endProfiling();
    const prefix = session.profile;
    session.profile = undefined;
    return readProfile(prefix);
  }

  async free(id: number): Promise<void> {
    const session = this.sessions.get(id);
    this.sessions.delete(id);
    const open = [...(session?.open.values() ?? [])];
    if (this.holdsGpu()) this.retired.push(...open);
    else for (const one of open) await one.release();
  }

  async close(): Promise<void> {
    for (const id of [...this.sets.keys()]) await this.freeResident(id);
    for (const id of [...this.sessions.keys()]) await this.free(id);
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function toHost(value: ort.Tensor): { dtype: DType; data: HostTensor['data'] } {
  const dtype = (
    {
      float32: 'f32',
      float64: 'f64',
      float16: 'f16',
      int32: 'i32',
      int64: 'i64',
      uint8: 'u8',
      bool: 'bool',
    } as Record<string, DType>
  )[value.type] as DType;
  return { dtype, data: fromOrt(value, dtype) };
}

function runError(name: string, message: string, cause: unknown): InkstoneError {
  const size = /allocate memory for requested buffer of size (\d+)/.exec(message)?.[1];
  if (size === undefined && !/bad[_ ]alloc|out of memory/i.test(message)) {
    return new InkstoneError('run_failed', `${name}: ${message.trim()}`, { cause });
  }
  const needed =
    size === undefined ? '' : `: one buffer alone takes ${(Number(size) / 2 ** 30).toFixed(1)} GiB`;
  return new InkstoneError('memory_full', `the memory of this machine does not suffice${needed}`, {
    kind: 'resource',
    hint: 'take a smaller batch, a shorter context or a smaller model',
    cause,
  });
}
