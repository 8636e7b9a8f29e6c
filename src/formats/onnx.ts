/** ONNX files: our own reader and writer of ModelProto. */
export { readOnnx } from './onnx-read.ts';
export * from './onnx-types.ts';
export { writeOnnx } from './onnx-write.ts';
