/**
 * ONNX files as plain data: what ModelProto holds (onnx.proto3), as far as tensor programs use it. Knows the
 * file's structure, not what any operator means.
 */
import type { DType } from '../base/tensor.ts';

/** A plain number is an int, a string a string, a list of numbers ints; the rest is told by its key. */
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
  /** Default: ONNX's own operators. */
  domain?: string;
  name?: string;
  /** An empty name stands for an optional input or output that is left out. */
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Readonly<Record<string, OnnxAttribute>>;
  doc?: string;
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
  /** Names are open sizes ('' has no name); left out where not even the rank is known. */
  shape?: readonly (number | string)[];
  doc?: string;
}

export interface OnnxGraph {
  name: string;
  inputs: readonly OnnxValueInfo[];
  outputs: readonly OnnxValueInfo[];
  nodes: readonly OnnxNode[];
  initializers: readonly OnnxTensor[];
  /** Types of values in between, where the file tells them. */
  values?: readonly OnnxValueInfo[];
  doc?: string;
}

export interface OnnxModel {
  irVersion: number;
  producerName: string;
  producerVersion?: string;
  opsets: readonly { domain: string; version: number }[];
  graph: OnnxGraph;
  metadata?: Readonly<Record<string, string>>;
  doc?: string;
}

/** TensorProto.DataType. */
export const ONNX_TYPE: Readonly<Record<DType, number>> = {
  f32: 1,
  u8: 2,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
  f64: 11,
};
