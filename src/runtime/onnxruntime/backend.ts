/**
 * The ONNX Runtime backends (CPU and WebGPU) behind the contract: lowers programs and sends them to the
 * thread that holds the sessions, or runs them inline in a process that does nothing else.
 */
import { type ErrorKind, InkstoneError } from '../../base/errors.ts';
import { cpuCount, entry, startWorker, temporaryPath, type WorkerHandle } from '../../base/host.ts';
import { type HostTensors, sizeOf } from '../../base/tensor.ts';
import { readOnnx } from '../../formats/onnx.ts';
import { type LowerOptions, lower } from '../../program/lower.ts';
import { holdsConvolution } from '../../program/settle.ts';
import { bindShape, isStatic, showShape } from '../../program/size.ts';
import type { Program } from '../../program/types.ts';
import type {
  Backend,
  BackendOptions,
  CompileOptions,
  Executable,
  GivenGraph,
  Part,
  ProfileEvent,
  Resident,
  RunCall,
} from '../contract.ts';
import { Dispatcher } from './dispatch.ts';
import type { Answer, EngineCall } from './messages.ts';
import { Tuner } from './tuner.ts';

const VERSION = '1.30.0';

type Ask = (call: EngineCall) => Promise<unknown>;

export async function openOnnxRuntime(
  provider: 'cpu' | 'webgpu',
  options: BackendOptions = {},
): Promise<Backend> {
  const threads = options.threads ?? cpuCount();
  const link = options.inline === true ? inlineLink() : workerLink();
  await link.ask({ kind: 'open', options: { provider, threads } });
  return new OnnxRuntimeBackend(provider, threads, link, options.choices);
}

interface Link {
  ask: Ask;
  end(): Promise<void>;
}

function inlineLink(): Link {
  const dispatcher = new Dispatcher();
  return { ask: (call) => dispatcher.answer(call), end: async () => {} };
}

/** The worker keeps the process alive only while an answer is due. */
function workerLink(): Link {
  const worker: WorkerHandle = startWorker(entry('runtime/onnxruntime/worker'));
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (reason: unknown) => void }>();
  let next = 0;
  worker.unref();
  worker.on('message', (message) => {
    const answer = message as Answer;
    const waiter = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (waiting.size === 0) worker.unref();
    if (waiter === undefined) return;
    if ('error' in answer) {
      const { code, message: text, kind, hint, details } = answer.error;
      waiter.reject(
        new InkstoneError(code, text, {
          kind: kind as ErrorKind,
          details,
          ...(hint === undefined ? {} : { hint }),
        }),
      );
    } else waiter.resolve(answer.value);
  });
  const fail = (cause: unknown): void => {
    for (const waiter of waiting.values())
      waiter.reject(
        new InkstoneError('backend_died', 'the thread that computes ended unexpectedly', { cause }),
      );
    waiting.clear();
  };
  worker.on('error', fail);
  worker.on('exit', fail);
  return {
    ask: (call) =>
      new Promise((resolve, reject) => {
        const id = next++;
        waiting.set(id, { resolve, reject });
        worker.ref();
        worker.postMessage({ id, call });
      }),
    end: async () => {
      await worker.terminate();
    },
  };
}

class OnnxRuntimeBackend implements Backend {
  readonly name: 'cpu' | 'webgpu';
  readonly description: string;
  private readonly link: Link;
  private readonly threads: number;
  private readonly choices: string | undefined;
  private tuner: Tuner | undefined;
  private closed = false;

  constructor(name: 'cpu' | 'webgpu', threads: number, link: Link, choices: string | undefined) {
    this.name = name;
    this.link = link;
    this.threads = threads;
    this.choices = choices;
    this.description = `onnxruntime-node ${VERSION}, ${name === 'cpu' ? `CPU, ${threads} threads` : 'WebGPU'}`;
  }

  async compile(program: Program, options: CompileOptions = {}): Promise<Executable> {
    const bytes = await this.lowered(program, {
      sizes: options.sizes ?? {},
      constants: options.constants ?? {},
    });
    const profile = options.profile === true ? temporaryPath('inkstone-profile') : undefined;
    const session = (await this.link.ask({ kind: 'compile', bytes, name: program.name, profile })) as number;
    const given = new Set(Object.keys(options.constants ?? {}));
    const sizes = options.sizes ?? {};
    const expected = new Map(
      program.inputs
        .filter((i) => !given.has(i.name))
        .map((i) => [i.name, { dtype: i.tensor.dtype, shape: bindShape(i.tensor.shape, sizes) }]),
    );
    return new OnnxRuntimeExecutable(program, session, this.link.ask, expected);
  }

  private async lowered(program: Program, options: LowerOptions): Promise<Uint8Array> {
    if (this.name === 'webgpu') return lower(program, { ...options, byFours: true, writes: 7 });
    const own = { ...options, skips: true };
    if (!holdsConvolution(program)) return lower(program, own);
    const blocks = (await this.link.ask({ kind: 'blocks' })) as number;
    this.tuner ??= new Tuner(
      { blocks, threads: this.threads, runtime: VERSION, file: this.choices },
      (call) => this.link.ask({ kind: 'time', ...call }),
    );
    return this.tuner.lower(program, own);
  }

  async resident(tensors: HostTensors): Promise<Resident> {
    const id = (await this.link.ask({ kind: 'resident', tensors })) as number;
    return new OnnxRuntimeResident(id, Object.keys(tensors), this.link.ask);
  }

  async openOnnx(bytes: Uint8Array, name: string): Promise<GivenGraph> {
    const { graph, metadata = {} } = readOnnx(bytes);
    const session = (await this.link.ask({ kind: 'compile', bytes, name, profile: undefined })) as number;
    // Old files list their constants among the inputs.
    const constants = new Set(graph.initializers.map((constant) => constant.name));
    const { ask } = this.link;
    return {
      inputs: graph.inputs.filter((input) => !constants.has(input.name)),
      outputs: graph.outputs,
      metadata,
      run: async (inputs, outputs = graph.outputs.map((output) => output.name)) =>
        (await ask({
          kind: 'run',
          request: { session, inputs, resident: [], update: {}, write: [], fetch: outputs },
        })) as HostTensors,
      free: async () => {
        await ask({ kind: 'free', session });
      },
    };
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.link.ask({ kind: 'close' });
    await this.link.end();
  }
}

class OnnxRuntimeExecutable implements Executable {
  readonly program: Program;
  private readonly session: number;
  private readonly ask: Ask;
  private readonly expected: ReadonlyMap<string, { dtype: string; shape: readonly (number | string)[] }>;

  constructor(
    program: Program,
    session: number,
    ask: Ask,
    expected: ReadonlyMap<string, { dtype: string; shape: readonly (number | string)[] }>,
  ) {
    this.program = program;
    this.session = session;
    this.ask = ask;
    this.expected = expected;
  }

  async run(call: RunCall): Promise<HostTensors> {
    const inputs = call.inputs ?? {};
    for (const [name, tensor] of Object.entries(inputs)) this.check(name, tensor);
    const update = call.update ?? {};
    const write = call.write ?? [];
    const silent = new Set([...Object.keys(update), ...write.map((w) => w.output)]);
    const fetch = call.fetch ?? this.program.outputs.map((o) => o.name).filter((name) => !silent.has(name));
    const resident = (call.resident ?? []).map((set) => (set as OnnxRuntimeResident).id);
    return (await this.ask({
      kind: 'run',
      request: { session: this.session, inputs, resident, update, write, fetch },
    })) as HostTensors;
  }

  private check(name: string, tensor: HostTensors[string]): void {
    const wanted = this.expected.get(name);
    if (wanted === undefined) {
      throw new InkstoneError('input_mismatch', `${this.program.name} has no input "${name}"`, {
        kind: 'usage',
        hint: `its inputs are ${[...this.expected.keys()].join(', ')}`,
      });
    }
    const fits =
      wanted.dtype === tensor.dtype &&
      wanted.shape.length === tensor.shape.length &&
      wanted.shape.every((size, axis) => typeof size === 'string' || size === tensor.shape[axis]) &&
      tensor.data.length === sizeOf(tensor.shape);
    if (fits) return;
    const open = isStatic(wanted.shape) ? '' : ' (names are free)';
    throw new InkstoneError(
      'input_mismatch',
      `${this.program.name}: "${name}" is ${tensor.dtype}${showShape(tensor.shape)} but must be ${wanted.dtype}${showShape(wanted.shape)}${open}`,
      { kind: 'usage' },
    );
  }

  async profile(): Promise<readonly ProfileEvent[]> {
    return (await this.ask({ kind: 'profile', session: this.session })) as readonly ProfileEvent[];
  }

  async free(): Promise<void> {
    await this.ask({ kind: 'free', session: this.session });
  }
}

class OnnxRuntimeResident implements Resident {
  readonly id: number;
  readonly names: readonly string[];
  private readonly ask: Ask;

  constructor(id: number, names: readonly string[], ask: Ask) {
    this.id = id;
    this.names = names;
    this.ask = ask;
  }

  async read(names: readonly string[] = this.names): Promise<HostTensors> {
    return (await this.ask({ kind: 'read', id: this.id, names })) as HostTensors;
  }

  async write(tensors: HostTensors): Promise<void> {
    await this.ask({ kind: 'write', id: this.id, tensors });
  }

  async resize(names: readonly string[], axis: number, size: number): Promise<void> {
    await this.ask({ kind: 'resize', id: this.id, names, axis, size });
  }

  async copyRows(names: readonly string[], from: readonly number[], to: readonly number[]): Promise<void> {
    await this.ask({ kind: 'copyRows', id: this.id, names, from, to });
  }

  async readPart(names: readonly string[], part: Part): Promise<HostTensors> {
    return (await this.ask({ kind: 'readPart', id: this.id, names, part })) as HostTensors;
  }

  async writePart(tensors: HostTensors, part: Part): Promise<void> {
    await this.ask({ kind: 'writePart', id: this.id, tensors, part });
  }

  async free(): Promise<void> {
    await this.ask({ kind: 'freeResident', id: this.id });
  }
}
