/**
 * Lowers a program to an ONNX model: binds sizes, simplifies, then lets each op write its nodes.
 * Knows ONNX's graph rules (names, constants, symbolic sizes as int64 arithmetic); knows no op by name
 * except inputs and constants.
 */
import { InkstoneError } from '../base/errors.ts';
import {
  bytesOf,
  type DType,
  type HostTensor,
  type HostTensors,
  tensor as hostTensor,
} from '../base/tensor.ts';
import {
  type OnnxAttribute as FileAttribute,
  type OnnxGraph,
  type OnnxModel,
  type OnnxNode,
  writeOnnx,
} from '../formats/onnx.ts';
import { fuse } from './fuse.ts';
import { hostOf } from './host-value.ts';
import { narrow } from './narrow.ts';
import { type OnnxAttributes, type OnnxCall, operationOf } from './operation.ts';
import { type ConvolutionCase, settle, usualWay, type Way } from './settle.ts';
import { simplify } from './simplify.ts';
import { isStatic, namesIn, termsOf } from './size.ts';
import { bindSizes } from './trace.ts';
import type { Program, Shape, Size, Tensor } from './types.ts';

export interface LowerOptions {
  /** Values for symbolic sizes. */
  sizes?: Readonly<Record<string, number>>;
  /** Inputs that become constants of the graph. */
  constants?: HostTensors;
  /** Standard ONNX ops only (a file for any runtime); default false: ONNX Runtime's fused ops are used too. */
  portable?: boolean;
  /** Channels of a block, where the runtime can compute convolutions so; default 0: it cannot. */
  blocks?: number;
  /** For WebGPU, see settle.ts; default false. */
  byFours?: boolean;
  /** Tensors that one node can write, see narrow.ts; default: any number. */
  writes?: number;
  /** Residual sums and the norms after them become one node (tried on the CPU); default false. */
  skips?: boolean;
  /** How a convolution is computed; default: as `usualWay` has it. */
  choose?(one: ConvolutionCase): Way;
}

/** ONNX opset 20 (Gelu), IR 9: what runtimes of the last years read. */
const OPSET = 20;
const IR_VERSION = 9;

/** The bytes of an ONNX model. */
export function lower(program: Program, options: LowerOptions = {}): Uint8Array {
  return writeOnnx(lowerToModel(program, options));
}

export function lowerToModel(program: Program, options: LowerOptions = {}): OnnxModel {
  const portable = options.portable ?? false;
  const simple = simplify(options.sizes === undefined ? program : bindSizes(program, options.sizes));
  const ready = settle(simple, {
    portable,
    blocks: portable ? 0 : (options.blocks ?? 0),
    choose: options.choose ?? usualWay,
    byFours: options.byFours ?? false,
    constants: new Set(Object.keys(options.constants ?? {})),
  });
  // Products by tap have new nodes that are alike.
  const settled = ready === simple ? simple : simplify(ready);
  const joined = options.skips === true && !portable ? fuse(settled) : settled;
  const bound = options.writes === undefined ? joined : narrow(joined, options.writes);
  const lowering = new Lowering(portable);
  const graph = lowering.graph(bound, options.constants ?? {});
  return {
    irVersion: IR_VERSION,
    producerName: 'inkstone',
    opsets: [
      { domain: '', version: OPSET },
      ...[...lowering.domains].sort().map((domain) => ({ domain, version: 1 })),
    ],
    graph,
  };
}

class Lowering {
  /** The runtime's own op sets that are used. */
  readonly domains = new Set<string>();
  private readonly portable: boolean;
  private readonly outer: Lowering | undefined;
  private readonly names = new Map<Tensor, string>();
  private readonly nodes: OnnxNode[] = [];
  private readonly initializers: { name: string; value: HostTensor }[] = [];
  private readonly shared = new Map<string, string>();
  private readonly sources = new Map<string, { name: string; axis: number }>();
  private readonly prefix: string;
  /** Names that the program gives itself. */
  private readonly reserved = new Set<string>();
  private next = 0;

  constructor(portable: boolean, outer?: Lowering, prefix = '') {
    this.portable = portable;
    this.outer = outer;
    this.prefix = prefix;
  }

  graph(
    program: Program,
    constants: HostTensors,
    captured: Readonly<Record<string, string>> = {},
  ): OnnxGraph {
    for (const { name } of [...program.inputs, ...program.outputs]) {
      if (this.reserved.has(this.prefix + name))
        throw new InkstoneError('name_taken', `${program.name} has two inputs or outputs named "${name}"`, {
          kind: 'usage',
          hint: 'a graph knows its values by their names: give each its own',
        });
      this.reserved.add(this.prefix + name);
    }
    for (const { name, tensor } of program.inputs) {
      this.names.set(tensor, captured[name] ?? this.prefix + name);
      tensor.shape.forEach((size, axis) => {
        if (typeof size === 'string' && constants[name] === undefined && !this.sources.has(size)) {
          this.sources.set(size, { name: captured[name] ?? this.prefix + name, axis });
        }
      });
    }
    for (const [name, value] of Object.entries(constants))
      this.initializers.push({ name: this.prefix + name, value });
    for (const node of program.nodes) {
      if (node.op === 'input') continue;
      if (node.op === 'constant') {
        this.names.set(node.outputs[0] as Tensor, this.constant(node.attributes.value as HostTensor));
        continue;
      }
      const results = operationOf(node.op).onnx(this.call(node));
      (typeof results === 'string' ? [results] : results).forEach((name, i) => {
        this.names.set(node.outputs[i] as Tensor, name);
      });
    }
    const taken = new Set([
      ...program.inputs.map((i) => this.prefix + i.name),
      ...this.initializers.map((i) => i.name),
    ]);
    for (const { name, tensor } of program.outputs) this.rename(tensor, this.prefix + name, taken);
    return {
      name: program.name,
      inputs: program.inputs
        .filter((i) => constants[i.name] === undefined && captured[i.name] === undefined)
        .map(({ name, tensor }) => ({
          name: this.prefix + name,
          dtype: tensor.dtype,
          shape: fileShape(tensor.shape),
        })),
      outputs: program.outputs.map(({ name, tensor }) => ({
        name: this.prefix + name,
        dtype: tensor.dtype,
        shape: fileShape(tensor.shape),
      })),
      nodes: this.live(program.outputs.map((o) => this.prefix + o.name)),
      initializers: this.initializers.map(({ name, value }) => ({
        name,
        dtype: value.dtype,
        shape: value.shape,
        data: bytesOf(value),
      })),
    };
  }

  /** Gives an output its public name; a value that already has another duty gets a copy. */
  private rename(tensor: Tensor, name: string, taken: Set<string>): void {
    const current = this.nameOf(tensor);
    if (taken.has(current) || this.outer !== undefined) {
      this.nodes.push({ opType: 'Identity', inputs: [current], outputs: [name], attributes: {} });
    } else {
      const swap = (list: readonly string[]): string[] => list.map((n) => (n === current ? name : n));
      this.nodes.forEach((node, i) => {
        if (node.inputs.includes(current) || node.outputs.includes(current)) {
          this.nodes[i] = { ...node, inputs: swap(node.inputs), outputs: swap(node.outputs) };
        }
      });
      for (const [t, n] of this.names) if (n === current) this.names.set(t, name);
    }
    taken.add(name);
  }

  /** Nodes that the outputs rest on, in order (ops write helper nodes that may turn out unused). */
  private live(outputs: readonly string[]): OnnxNode[] {
    const needed = new Set(outputs);
    const kept: OnnxNode[] = [];
    for (const node of [...this.nodes].reverse()) {
      if (!node.outputs.some((name) => needed.has(name))) continue;
      for (const name of node.inputs) needed.add(name);
      for (const value of Object.values(node.attributes))
        for (const name of outerNames(value)) needed.add(name);
      kept.push(node);
    }
    const used = (name: string): boolean => needed.has(name);
    this.initializers.splice(0, this.initializers.length, ...this.initializers.filter((i) => used(i.name)));
    return kept.reverse();
  }

  private nameOf(tensor: Tensor): string {
    const name = this.names.get(tensor);
    if (name === undefined)
      throw new InkstoneError('lowering_order', `a value of ${tensor.node.op} is used before it is made`);
    return name;
  }

  private fresh(op: string): string {
    let name: string;
    do name = `${this.prefix}${op}_${this.next++}`;
    while (this.reserved.has(name));
    return name;
  }

  private constant(value: HostTensor): string {
    const key =
      value.data.length <= 16
        ? `${value.dtype}[${value.shape}]${Array.from(value.data as ArrayLike<number | bigint>, (v) => (Object.is(v, -0) ? '-0' : String(v))).join()}`
        : undefined;
    const before = key === undefined ? undefined : this.shared.get(key);
    if (before !== undefined) return before;
    const name = this.fresh('constant');
    this.initializers.push({ name, value });
    if (key !== undefined) this.shared.set(key, name);
    return name;
  }

  private emitMany(
    op: string,
    inputs: readonly string[],
    outputs: number,
    attributes: OnnxAttributes = {},
    domain = '',
  ): string[] {
    if (domain !== '') this.markDomain(domain);
    const names = Array.from({ length: outputs }, () => this.fresh(op));
    const given: Record<string, FileAttribute> = {};
    for (const [key, value] of Object.entries(attributes))
      if (value !== undefined) given[key] = value as FileAttribute;
    this.nodes.push({
      opType: op,
      ...(domain === '' ? {} : { domain }),
      inputs: [...inputs],
      outputs: names,
      attributes: given,
    });
    return names;
  }

  private markDomain(domain: string): void {
    this.domains.add(domain);
    this.outer?.markDomain(domain);
  }

  /** A 1-element i64 tensor. */
  private size(size: Size): string {
    if (typeof size === 'number') return this.constant(hostTensor('i64', [1], [size]));
    const key = `size ${size}`;
    const before = this.shared.get(key);
    if (before !== undefined) return before;
    let total: string | undefined;
    for (const { coefficient, names } of termsOf(size)) {
      let product: string | undefined =
        coefficient === 1 && names.length > 0
          ? undefined
          : this.constant(hostTensor('i64', [1], [coefficient]));
      for (const name of names) {
        const one = this.symbol(name);
        product = product === undefined ? one : (this.emitMany('Mul', [product, one], 1)[0] as string);
      }
      total =
        total === undefined ? product : (this.emitMany('Add', [total, product as string], 1)[0] as string);
    }
    this.shared.set(key, total as string);
    return total as string;
  }

  private symbol(name: string): string {
    const key = `symbol ${name}`;
    const before = this.shared.get(key);
    if (before !== undefined) return before;
    const source = this.sources.get(name);
    if (source === undefined) {
      throw new InkstoneError('size_unknown', `no input tells the size "${name}"`, {
        kind: 'usage',
        hint: 'give its value in `sizes`',
      });
    }
    const one = this.emitMany('Shape', [source.name], 1, {
      start: source.axis,
      end: source.axis + 1,
    })[0] as string;
    this.shared.set(key, one);
    return one;
  }

  private shapeName(shape: Shape): string {
    if (isStatic(shape)) return this.constant(hostTensor('i64', [shape.length], shape));
    const key = `shape ${shape.join()}`;
    const before = this.shared.get(key);
    if (before !== undefined) return before;
    const name = this.emitMany(
      'Concat',
      shape.map((size) => this.size(size)),
      1,
      { axis: 0 },
    )[0] as string;
    this.shared.set(key, name);
    return name;
  }

  private call(node: Program['nodes'][number]): OnnxCall<Record<string, never>> {
    return {
      node,
      attributes: node.attributes as Record<string, never>,
      inputs: node.inputs.map((t) => this.nameOf(t)),
      types: node.inputs,
      outputTypes: node.outputs,
      portable: this.portable,
      emit: (op, inputs, attributes, domain) => this.emitMany(op, inputs, 1, attributes, domain)[0] as string,
      emitMany: (op, inputs, outputs, attributes, domain) =>
        this.emitMany(op, inputs, outputs, attributes, domain),
      once: (key, make) => {
        const before = this.shared.get(key);
        if (before !== undefined) return before;
        const name = make();
        this.shared.set(key, name);
        return name;
      },
      integers: (values) => this.constant(hostTensor('i64', [values.length], values)),
      scalar: (value: number, dtype: DType) => this.constant(hostOf(dtype, [], [value])),
      shape: (shape) => this.shapeName(shape),
      size: (size) => this.size(size),
      lookup: (tensor) => this.nameOf(tensor),
      subgraph: (program, captured) =>
        new Lowering(this.portable, this, `${this.fresh('body')}/`).graph(program, {}, captured),
    };
  }
}

function fileShape(shape: Shape): Size[] {
  // A compound size is nobody's name: the file says only that it is open.
  return shape.map((size) =>
    typeof size === 'number' || namesIn(size).join() === size ? size : size.replaceAll(/[^A-Za-z0-9_]/g, '_'),
  );
}

function outerNames(value: FileAttribute): string[] {
  if (typeof value !== 'object' || value === null || !('graph' in value)) return [];
  const { graph } = value as { graph: OnnxGraph };
  return graph.nodes.flatMap((node) => [
    ...node.inputs,
    ...Object.values(node.attributes).flatMap(outerNames),
  ]);
}
