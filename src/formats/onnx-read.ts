/**
 * Reads ONNX files, ours and others'. Whatever the bytes are, the answer is a model or an InkstoneError.
 * What tensor programs have no use for (training parts, functions, quantisation notes) is passed over.
 */
import { InkstoneError } from '../base/errors.ts';
import { allocate, BYTES, bytesOf, type DType, type HostTensor, sizeOf } from '../base/tensor.ts';
import type {
  OnnxAttribute,
  OnnxGraph,
  OnnxModel,
  OnnxNode,
  OnnxTensor,
  OnnxValueInfo,
} from './onnx-types.ts';
import { ONNX_TYPE } from './onnx-types.ts';
import {
  bytesIn,
  corruptAt,
  floatsOf,
  integerOf,
  integersOf,
  type ProtoField,
  readFields,
  textOf,
} from './protobuf.ts';

/** Graphs within graphs beyond this are an attack, not a model. */
const DEEPEST = 64;

/**
 * Tensor data are views of `bytes` where the file keeps them raw.
 * @throws InkstoneError `onnx_corrupt` (with the offset), `onnx_unsupported`
 */
export function readOnnx(bytes: Uint8Array): OnnxModel {
  let irVersion = 0;
  let graph: OnnxGraph | undefined;
  const opsets: { domain: string; version: number }[] = [];
  const metadata: Record<string, string> = Object.create(null);
  const texts: { producerVersion?: string; doc?: string } = {};
  let producerName = '';
  for (const f of readFields(bytes)) {
    if (f.field === 1) irVersion = integerOf(f);
    else if (f.field === 2) producerName = textOf(f);
    else if (f.field === 3) texts.producerVersion = textOf(f);
    else if (f.field === 6) texts.doc = textOf(f);
    else if (f.field === 7) graph = readGraph(f, 0);
    else if (f.field === 8) opsets.push(readOpset(f));
    else if (f.field === 14) {
      const [key, value] = readEntry(f);
      metadata[key] = value;
    }
  }
  if (graph === undefined || irVersion <= 0)
    throw corruptAt('the file ends without a graph and a version', bytes.length);
  const some = Object.keys(metadata).length > 0;
  return { irVersion, producerName, ...texts, opsets, graph, ...(some ? { metadata } : {}) };
}

function inside(field: ProtoField): Generator<ProtoField> {
  return readFields(bytesIn(field), field.offset);
}

function readOpset(field: ProtoField): { domain: string; version: number } {
  const opset = { domain: '', version: 0 };
  for (const f of inside(field)) {
    if (f.field === 1) opset.domain = textOf(f);
    else if (f.field === 2) opset.version = integerOf(f);
  }
  return opset;
}

function readEntry(field: ProtoField): [string, string] {
  const entry: [string, string] = ['', ''];
  for (const f of inside(field)) {
    if (f.field === 1) entry[0] = textOf(f);
    else if (f.field === 2) entry[1] = textOf(f);
  }
  return entry;
}

function readGraph(field: ProtoField, depth: number): OnnxGraph {
  if (depth > DEEPEST) throw corruptAt(`graphs lie ${depth} deep in one another`, field.offset);
  const nodes: OnnxNode[] = [];
  const initializers: OnnxTensor[] = [];
  const inputs: OnnxValueInfo[] = [];
  const outputs: OnnxValueInfo[] = [];
  const values: OnnxValueInfo[] = [];
  const graph: OnnxGraph = { name: '', inputs, outputs, nodes, initializers };
  for (const f of inside(field)) {
    if (f.field === 1) nodes.push(readNode(f, depth));
    else if (f.field === 2) graph.name = textOf(f);
    else if (f.field === 5) initializers.push(readTensor(f));
    else if (f.field === 10) graph.doc = textOf(f);
    else if (f.field === 11) inputs.push(readInfo(f));
    else if (f.field === 12) outputs.push(readInfo(f));
    else if (f.field === 13) values.push(readInfo(f));
    else if (f.field === 15) throw unsupported('sparse initialisers are not read', f.offset);
  }
  if (values.length > 0) graph.values = values;
  return graph;
}

function readNode(field: ProtoField, depth: number): OnnxNode {
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes: Record<string, OnnxAttribute> = Object.create(null);
  const node: OnnxNode = { opType: '', inputs, outputs, attributes };
  for (const f of inside(field)) {
    if (f.field === 1) inputs.push(textOf(f));
    else if (f.field === 2) outputs.push(textOf(f));
    else if (f.field === 3) node.name = textOf(f);
    else if (f.field === 4) node.opType = textOf(f);
    else if (f.field === 6) node.doc = textOf(f);
    else if (f.field === 7) node.domain = textOf(f);
    else if (f.field === 5) {
      const [name, value] = readAttribute(f, depth);
      attributes[name] = value;
    }
  }
  return node;
}

function readAttribute(field: ProtoField, depth: number): [string, OnnxAttribute] {
  let name = '';
  let type = 0;
  // Writers may leave out a value that is 0 or empty; then the type alone tells what it is.
  let float: number | undefined;
  let integer: number | undefined;
  let text: string | undefined;
  let tensor: OnnxTensor | undefined;
  let graph: OnnxGraph | undefined;
  const integers: number[] = [];
  const floats: number[] = [];
  const strings: string[] = [];
  for (const f of inside(field)) {
    if (f.field === 1) name = textOf(f);
    else if (f.field === 20) type = integerOf(f);
    else if (f.field === 2) float = floatsOf(f)[0];
    else if (f.field === 3) integer = integerOf(f);
    else if (f.field === 4) text = textOf(f);
    else if (f.field === 5) tensor = readTensor(f);
    else if (f.field === 6) graph = readGraph(f, depth + 1);
    else if (f.field === 7) append(floats, floatsOf(f));
    else if (f.field === 8) for (const value of integersOf(f)) integers.push(Number(value));
    else if (f.field === 9) strings.push(textOf(f));
  }
  if (type === 6 || (type === 0 && floats.length > 0)) return [name, { floats }];
  if (type === 7 || (type === 0 && integers.length > 0)) return [name, integers];
  if (type === 8 || (type === 0 && strings.length > 0)) return [name, { strings }];
  if (type === 1 || (type === 0 && float !== undefined)) return [name, { float: float ?? 0 }];
  if (type === 3 || (type === 0 && text !== undefined)) return [name, text ?? ''];
  if (tensor !== undefined) return [name, { tensor }];
  if (graph !== undefined) return [name, { graph }];
  if (type === 2 || (type === 0 && integer !== undefined)) return [name, integer ?? 0];
  throw type > 8
    ? unsupported(`the attribute "${name}" has the type ${type}`, field.offset)
    : corruptAt(`the attribute "${name}" has no value`, field.offset);
}

function append<T>(list: T[], items: readonly T[]): void {
  for (const item of items) list.push(item);
}

function readTensor(field: ProtoField): OnnxTensor {
  const shape: number[] = [];
  let name = '';
  let code = 0;
  let raw: Uint8Array | undefined;
  let external = false;
  const integers: bigint[] = [];
  const floats: number[] = [];
  for (const f of inside(field)) {
    if (f.field === 1) for (const value of integersOf(f)) shape.push(Number(value));
    else if (f.field === 2) code = integerOf(f);
    else if (f.field === 4) append(floats, floatsOf(f));
    else if (f.field === 5 || f.field === 7 || f.field === 11) append(integers, integersOf(f));
    else if (f.field === 8) name = textOf(f);
    else if (f.field === 9) raw = bytesIn(f);
    else if (f.field === 10) append(floats, floatsOf(f, 8));
    else if (f.field === 14) external = integerOf(f) === 1;
  }
  if (external) throw unsupported(`the data of "${name}" are in another file`, field.offset);
  const dtype = dtypeOf(code, field.offset);
  const size = sizeOf(shape);
  if (shape.some((dim) => dim < 0) || !Number.isSafeInteger(size))
    throw corruptAt(`the tensor "${name}" has the shape [${shape.join(', ')}]`, field.offset);
  const data = raw ?? listed(dtype, dtype === 'f32' || dtype === 'f64' ? floats : integers);
  if (data.length !== size * BYTES[dtype]) {
    throw corruptAt(
      `the tensor "${name}" has ${data.length} bytes for ${dtype} [${shape.join(', ')}]`,
      field.offset,
    );
  }
  return { name, dtype, shape, data };
}

/** Values that the file lists one by one, as the bytes they are in memory (halves are kept as integers). */
function listed(dtype: DType, values: readonly (number | bigint)[]): Uint8Array {
  const data = allocate(dtype, values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number | bigint;
    data[i] = (dtype === 'i64' ? value : Number(value)) as never;
  }
  return bytesOf({ dtype, shape: [values.length], data } as HostTensor);
}

const DTYPE = new Map(Object.entries(ONNX_TYPE).map(([dtype, code]) => [code, dtype as DType]));

function dtypeOf(code: number, at: number): DType {
  const dtype = DTYPE.get(code);
  if (dtype === undefined) throw unsupported(`the element type ${code} is not known`, at);
  return dtype;
}

function unsupported(why: string, at: number): InkstoneError {
  return new InkstoneError('onnx_unsupported', `${why} (at byte ${at})`, {
    kind: 'unsupported',
    hint: 'dense tensors of f32, f64, f16, i32, i64, u8 and bool within one file are read',
    details: { offset: at },
  });
}

function readInfo(field: ProtoField): OnnxValueInfo {
  const info: OnnxValueInfo = { name: '', dtype: 'f32' };
  let isTensor = false;
  for (const f of inside(field)) {
    if (f.field === 1) info.name = textOf(f);
    else if (f.field === 3) info.doc = textOf(f);
    if (f.field !== 2) continue;
    for (const type of inside(f)) {
      if (type.field !== 1) continue;
      isTensor = true;
      for (const part of inside(type)) {
        if (part.field === 1) info.dtype = dtypeOf(integerOf(part), part.offset);
        else if (part.field === 2) info.shape = readShape(part);
      }
    }
  }
  if (!isTensor) throw unsupported(`"${info.name}" is no tensor`, field.offset);
  return info;
}

function readShape(field: ProtoField): (number | string)[] {
  const shape: (number | string)[] = [];
  for (const dim of inside(field)) {
    if (dim.field !== 1) continue;
    let size: number | string = '';
    for (const f of inside(dim)) {
      if (f.field === 1) size = integerOf(f);
      else if (f.field === 2) size = textOf(f);
    }
    shape.push(size);
  }
  return shape;
}
