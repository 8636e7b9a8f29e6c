/** File formats: bytes in, structures out, and back. */
export * from './float16.ts';
export * from './gguf.ts';
export { type GgufHead, readGguf, readGgufHead } from './gguf-read.ts';
export * from './idx.ts';
export * from './npz.ts';
export * from './onnx.ts';
export * from './safetensors.ts';
export { readTar, type TarPiece } from './tar.ts';
