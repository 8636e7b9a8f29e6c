/**
 * ONNX files: our own reader and writer of ModelProto. Knows the file's structure (onnx.proto3), not what
 * any operator means.
 */
import { InkstoneError } from '../base/errors.ts';
import { bytesOf, type DType, tensor as hostTensor, sizeOf, viewOf } from '../base/tensor.ts';
import { floatsOf, integersOf, ProtoWriter, readFields, textOf } from './protobuf.ts';

export type OnnxAttribute =
  | number
  | string
  | readonly number[]
  | { float: number }
  | { floats: readonly number[] }
  | { strings: readonly string[] }
  | { tensor: OnnxTensor }
  | { graph: OnnxGraph };

export interface OnnxNode {
  opType: string;
  domain?: string;
  name?: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Readonly<Record<string, OnnxAttribute>>;
}

export interface OnnxTensor {
  name: string;
  dtype: DType;
  shape: readonly number[];
  /** Row-major, little-endian. */
  data: Uint8Array;
}

export interface OnnxValueInfo {
  name: string;
  dtype: DType;
  /** Names are open sizes. */
  shape: readonly (number | string)[];
}

export interface OnnxGraph {
  name: string;
  inputs: readonly OnnxValueInfo[];
  outputs: readonly OnnxValueInfo[];
  nodes: readonly OnnxNode[];
  initializers: readonly OnnxTensor[];
}

export interface OnnxModel {
  irVersion: number;
  producerName: string;
  opsets: readonly { domain: string; version: number }[];
  graph: OnnxGraph;
  metadata?: Readonly<Record<string, string>>;
}

const CODE: Record<DType, number> = { f32: 1, u8: 2, i32: 6, i64: 7, bool: 9, f16: 10, f64: 11 };
const DTYPE = new Map(Object.entries(CODE).map(([dtype, code]) => [code, dtype as DType]));

export function writeOnnx(model: OnnxModel): Uint8Array {
  const out = new ProtoWriter()
    .integer(1, model.irVersion)
    .string(2, model.producerName)
    .message(7, graphProto(model.graph));
  for (const { domain, version } of model.opsets)
    out.message(8, new ProtoWriter().string(1, domain).integer(2, version));
  for (const [key, value] of Object.entries(model.metadata ?? {}))
    out.message(14, new ProtoWriter().string(1, key).string(2, value));
  return out.finish();
}

function graphProto(graph: OnnxGraph): ProtoWriter {
  const out = new ProtoWriter();
  for (const node of graph.nodes) out.message(1, nodeProto(node));
  out.string(2, graph.name);
  for (const tensor of graph.initializers) out.message(5, tensorProto(tensor));
  for (const info of graph.inputs) out.message(11, infoProto(info));
  for (const info of graph.outputs) out.message(12, infoProto(info));
  return out;
}

function nodeProto(node: OnnxNode): ProtoWriter {
  const out = new ProtoWriter();
  for (const name of node.inputs) out.string(1, name);
  for (const name of node.outputs) out.string(2, name);
  if (node.name !== undefined) out.string(3, node.name);
  out.string(4, node.opType);
  for (const [name, value] of Object.entries(node.attributes)) out.message(5, attributeProto(name, value));
  if (node.domain !== undefined) out.string(7, node.domain);
  return out;
}

function attributeProto(name: string, value: OnnxAttribute): ProtoWriter {
  const out = new ProtoWriter().string(1, name);
  if (typeof value === 'number') return out.integer(3, value).integer(20, 2);
  if (typeof value === 'string') return out.string(4, value).integer(20, 3);
  if (isList(value)) {
    for (const item of value) out.integer(8, item);
    return out.integer(20, 7);
  }
  if ('float' in value) return out.float(2, value.float).integer(20, 1);
  if ('floats' in value) {
    for (const item of value.floats) out.float(7, item);
    return out.integer(20, 6);
  }
  if ('strings' in value) {
    for (const item of value.strings) out.string(9, item);
    return out.integer(20, 8);
  }
  if ('tensor' in value) return out.message(5, tensorProto(value.tensor)).integer(20, 4);
  return out.message(6, graphProto(value.graph)).integer(20, 5);
}

function isList(value: OnnxAttribute): value is readonly number[] {
  return Array.isArray(value);
}

function tensorProto(tensor: OnnxTensor): ProtoWriter {
  const out = new ProtoWriter();
  for (const size of tensor.shape) out.integer(1, size);
  return out.integer(2, CODE[tensor.dtype]).string(8, tensor.name).bytes(9, tensor.data);
}

function infoProto({ name, dtype, shape }: OnnxValueInfo): ProtoWriter {
  const dims = new ProtoWriter();
  for (const size of shape) {
    dims.message(
      1,
      typeof size === 'number' ? new ProtoWriter().integer(1, size) : new ProtoWriter().string(2, size),
    );
  }
  const type = new ProtoWriter().integer(1, CODE[dtype]).message(2, dims);
  return new ProtoWriter().string(1, name).message(2, new ProtoWriter().message(1, type));
}

/** @throws InkstoneError `onnx_corrupt` (with the offset), `onnx_unsupported` */
export function readOnnx(bytes: Uint8Array): OnnxModel {
  let irVersion = 0;
  let producerName = '';
  let graph: OnnxGraph | undefined;
  const opsets: { domain: string; version: number }[] = [];
  const metadata: Record<string, string> = {};
  for (const f of readFields(bytes)) {
    if (f.field === 1) irVersion = Number(f.integer);
    else if (f.field === 2) producerName = textOf(f.bytes);
    else if (f.field === 7) graph = readGraph(f.bytes, f.offset);
    else if (f.field === 8) opsets.push(readOpset(f.bytes, f.offset));
    else if (f.field === 14) {
      let key = '';
      for (const e of readFields(f.bytes, f.offset)) {
        if (e.field === 1) key = textOf(e.bytes);
        else if (e.field === 2) metadata[key] = textOf(e.bytes);
      }
    }
  }
  if (graph === undefined || irVersion === 0) {
    throw new InkstoneError('onnx_corrupt', `there is no graph in this file (read to byte ${bytes.length})`, {
      kind: 'data',
      hint: 'the file is damaged or no ONNX model',
    });
  }
  return {
    irVersion,
    producerName,
    opsets,
    graph,
    ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
  };
}

function readOpset(bytes: Uint8Array, base: number): { domain: string; version: number } {
  const opset = { domain: '', version: 0 };
  for (const f of readFields(bytes, base)) {
    if (f.field === 1) opset.domain = textOf(f.bytes);
    else if (f.field === 2) opset.version = Number(f.integer);
  }
  return opset;
}

function readGraph(bytes: Uint8Array, base: number): OnnxGraph {
  const nodes: OnnxNode[] = [];
  const initializers: OnnxTensor[] = [];
  const inputs: OnnxValueInfo[] = [];
  const outputs: OnnxValueInfo[] = [];
  let name = '';
  for (const f of readFields(bytes, base)) {
    if (f.field === 1) nodes.push(readNode(f.bytes, f.offset));
    else if (f.field === 2) name = textOf(f.bytes);
    else if (f.field === 5) initializers.push(readTensor(f.bytes, f.offset));
    else if (f.field === 11) inputs.push(readInfo(f.bytes, f.offset));
    else if (f.field === 12) outputs.push(readInfo(f.bytes, f.offset));
  }
  return { name, inputs, outputs, nodes, initializers };
}

function readNode(bytes: Uint8Array, base: number): OnnxNode {
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes: Record<string, OnnxAttribute> = {};
  const node: OnnxNode = { opType: '', inputs, outputs, attributes };
  for (const f of readFields(bytes, base)) {
    if (f.field === 1) inputs.push(textOf(f.bytes));
    else if (f.field === 2) outputs.push(textOf(f.bytes));
    else if (f.field === 3) node.name = textOf(f.bytes);
    else if (f.field === 4) node.opType = textOf(f.bytes);
    else if (f.field === 7) node.domain = textOf(f.bytes);
    else if (f.field === 5) {
      const [name, value] = readAttribute(f.bytes, f.offset);
      attributes[name] = value;
    }
  }
  return node;
}

function readAttribute(bytes: Uint8Array, base: number): [string, OnnxAttribute] {
  let name = '';
  let type = 0;
  let single: OnnxAttribute = 0;
  const integers: number[] = [];
  const floats: number[] = [];
  const strings: string[] = [];
  for (const f of readFields(bytes, base)) {
    if (f.field === 1) name = textOf(f.bytes);
    else if (f.field === 20) type = Number(f.integer);
    else if (f.field === 2) single = { float: floatsOf(f)[0] ?? 0 };
    else if (f.field === 3) single = Number(f.integer);
    else if (f.field === 4) single = textOf(f.bytes);
    else if (f.field === 5) single = { tensor: readTensor(f.bytes, f.offset) };
    else if (f.field === 6) single = { graph: readGraph(f.bytes, f.offset) };
    else if (f.field === 7) floats.push(...floatsOf(f));
    else if (f.field === 8) for (const value of integersOf(f)) integers.push(Number(value));
    else if (f.field === 9) strings.push(textOf(f.bytes));
  }
  if (type === 6) return [name, { floats }];
  if (type === 7) return [name, integers];
  if (type === 8) return [name, { strings }];
  return [name, single];
}

function readTensor(bytes: Uint8Array, base: number): OnnxTensor {
  const shape: number[] = [];
  let name = '';
  let code = 0;
  let raw: Uint8Array | undefined;
  const integers: number[] = [];
  const floats: number[] = [];
  for (const f of readFields(bytes, base)) {
    if (f.field === 1) for (const value of integersOf(f)) shape.push(Number(value));
    else if (f.field === 2) code = Number(f.integer);
    else if (f.field === 8) name = textOf(f.bytes);
    else if (f.field === 9) raw = f.bytes;
    else if (f.field === 4) floats.push(...floatsOf(f));
    else if (f.field === 5 || f.field === 7) for (const value of integersOf(f)) integers.push(Number(value));
  }
  const dtype = dtypeOf(code, base);
  const data =
    raw ??
    bytesOf(
      hostTensor(
        dtype,
        [dtype === 'f32' ? floats.length : integers.length],
        dtype === 'f32' ? floats : integers,
      ),
    );
  const width = viewOf(dtype, new Uint8Array(8)).BYTES_PER_ELEMENT;
  if (data.length !== sizeOf(shape) * width) {
    throw new InkstoneError(
      'onnx_corrupt',
      `the tensor "${name}" has ${data.length} bytes for [${shape.join(', ')}] (at byte ${base})`,
      { kind: 'data' },
    );
  }
  return { name, dtype, shape, data };
}

function dtypeOf(code: number, base: number): DType {
  const dtype = DTYPE.get(code);
  if (dtype === undefined)
    throw new InkstoneError('onnx_unsupported', `the element type ${code} is not known (at byte ${base})`, {
      kind: 'unsupported',
    });
  return dtype;
}

function readInfo(bytes: Uint8Array, base: number): OnnxValueInfo {
  let name = '';
  let code = 1;
  const shape: (number | string)[] = [];
  for (const f of readFields(bytes, base)) {
    if (f.field === 1) name = textOf(f.bytes);
    if (f.field !== 2) continue;
    for (const t of readFields(f.bytes, f.offset)) {
      if (t.field !== 1) continue;
      for (const p of readFields(t.bytes, t.offset)) {
        if (p.field === 1) code = Number(p.integer);
        if (p.field !== 2) continue;
        for (const d of readFields(p.bytes, p.offset)) {
          let size: number | string = '';
          for (const v of readFields(d.bytes, d.offset))
            size = v.field === 1 ? Number(v.integer) : v.field === 2 ? textOf(v.bytes) : size;
          shape.push(size);
        }
      }
    }
  }
  return { name, dtype: dtypeOf(code, base), shape };
}
