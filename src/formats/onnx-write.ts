/** Writes ONNX files. The model's own order is kept: the same model gives the same bytes. */
import type {
  OnnxAttribute,
  OnnxGraph,
  OnnxModel,
  OnnxNode,
  OnnxTensor,
  OnnxValueInfo,
} from './onnx-types.ts';
import { ONNX_TYPE } from './onnx-types.ts';
import { ProtoWriter } from './protobuf.ts';

/** AttributeProto.AttributeType. */
const KIND = { float: 1, int: 2, string: 3, tensor: 4, graph: 5, floats: 6, ints: 7, strings: 8 } as const;

/** Weights are copied once, into the result. */
export function writeOnnx(model: OnnxModel): Uint8Array<ArrayBuffer> {
  const out = new ProtoWriter().integer(1, model.irVersion).string(2, model.producerName);
  if (model.producerVersion !== undefined) out.string(3, model.producerVersion);
  if (model.doc !== undefined) out.string(6, model.doc);
  out.message(7, graphProto(model.graph));
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
  if (graph.doc !== undefined) out.string(10, graph.doc);
  for (const info of graph.inputs) out.message(11, infoProto(info));
  for (const info of graph.outputs) out.message(12, infoProto(info));
  for (const info of graph.values ?? []) out.message(13, infoProto(info));
  return out;
}

function nodeProto(node: OnnxNode): ProtoWriter {
  const out = new ProtoWriter();
  for (const name of node.inputs) out.string(1, name);
  for (const name of node.outputs) out.string(2, name);
  if (node.name !== undefined) out.string(3, node.name);
  out.string(4, node.opType);
  for (const [name, value] of Object.entries(node.attributes)) out.message(5, attributeProto(name, value));
  if (node.doc !== undefined) out.string(6, node.doc);
  if (node.domain !== undefined) out.string(7, node.domain);
  return out;
}

function attributeProto(name: string, value: OnnxAttribute): ProtoWriter {
  const out = new ProtoWriter().string(1, name);
  if (typeof value === 'number') return out.integer(3, value).integer(20, KIND.int);
  if (typeof value === 'string') return out.string(4, value).integer(20, KIND.string);
  if (isList(value)) {
    for (const item of value) out.integer(8, item);
    return out.integer(20, KIND.ints);
  }
  if ('float' in value) return out.float(2, value.float).integer(20, KIND.float);
  if ('floats' in value) {
    for (const item of value.floats) out.float(7, item);
    return out.integer(20, KIND.floats);
  }
  if ('strings' in value) {
    for (const item of value.strings) out.string(9, item);
    return out.integer(20, KIND.strings);
  }
  if ('tensor' in value) return out.message(5, tensorProto(value.tensor)).integer(20, KIND.tensor);
  return out.message(6, graphProto(value.graph)).integer(20, KIND.graph);
}

function isList(value: OnnxAttribute): value is readonly number[] {
  return Array.isArray(value);
}

function tensorProto(tensor: OnnxTensor): ProtoWriter {
  const out = new ProtoWriter();
  for (const size of tensor.shape) out.integer(1, size);
  return out.integer(2, ONNX_TYPE[tensor.dtype]).string(8, tensor.name).bytes(9, tensor.data);
}

function infoProto({ name, dtype, shape, doc }: OnnxValueInfo): ProtoWriter {
  const type = new ProtoWriter().integer(1, ONNX_TYPE[dtype]);
  if (shape !== undefined) {
    const dims = new ProtoWriter();
    for (const size of shape) {
      const dim = new ProtoWriter();
      if (typeof size === 'number') dim.integer(1, size);
      else if (size !== '') dim.string(2, size);
      dims.message(1, dim);
    }
    type.message(2, dims);
  }
  const out = new ProtoWriter().string(1, name).message(2, new ProtoWriter().message(1, type));
  if (doc !== undefined) out.string(3, doc);
  return out;
}
