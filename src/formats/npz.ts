/** NumPy's files: an array with a short header (.npy), and a zip of them (.npz). Writes; knows no contents. */
import { zipSync } from 'fflate';
import { bytesOf, type DType, type HostTensor, type HostTensors } from '../base/tensor.ts';

const TYPES: Partial<Record<DType, string>> = {
  f32: '<f4',
  f64: '<f8',
  i32: '<i4',
  i64: '<i8',
  u8: '|u1',
  bool: '|b1',
  f16: '<f2',
};

/** Version 1.0: magic, header length, a Python dictionary padded to a multiple of 64 bytes, the values. */
export function writeNpy(value: HostTensor): Uint8Array {
  const shape = value.shape.length === 1 ? `${value.shape[0]},` : value.shape.join(', ');
  const about = `{'descr': '${TYPES[value.dtype]}', 'fortran_order': False, 'shape': (${shape}), }`;
  const length = Math.ceil((10 + about.length + 1) / 64) * 64 - 10;
  const header = new TextEncoder().encode(`${about.padEnd(length - 1)}\n`);
  const start = Uint8Array.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, length & 255, length >> 8]);
  return Uint8Array.from(Buffer.concat([start, header, bytesOf(value)]));
}

export function writeNpz(values: HostTensors): Uint8Array {
  const files = Object.entries(values).map(([name, value]) => [`${name}.npy`, writeNpy(value)] as const);
  return zipSync(Object.fromEntries(files), { level: 6, mtime: new Date('1980-01-01T12:00:00Z') });
}
