/**
 * Pictures enlarged by a whole factor: a convolution with a fixed kernel (Lanczos, three lobes) for each place within a
 * pixel, and the results shuffled together (Shi et al. 2016), down and then across. A tensor program, on the backend that
 * made the pictures. It smooths; it learns nothing and makes up no detail.
 */
import { type HostTensor, tensor } from '../../base/tensor.ts';
import {
  constant,
  conv,
  gather,
  type Program,
  reshape,
  type Tensor,
  trace,
  transpose,
} from '../../program/index.ts';
import type { Backend } from '../../runtime/contract.ts';
import type { Pictures } from './request.ts';

/** What the kernel is called where a file says what it was made with. */
export const UPSCALE_KERNEL = 'lanczos3';

const LOBES = 3;
const TAPS = 2 * LOBES + 1;

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const lanczos = (x: number): number => (Math.abs(x) < LOBES ? sinc(x) * sinc(x / LOBES) : 0);

/** `[factor, TAPS]`: what pixels −3 … 3 away weigh at each place within a pixel; each row sums to 1. */
function weights(factor: number): Float32Array<ArrayBuffer> {
  const all = new Float32Array(factor * TAPS);
  for (let place = 0; place < factor; place++) {
    // Centres of pixels are at half.
    const offset = (place + 0.5) / factor - 0.5;
    const row = Array.from({ length: TAPS }, (_, tap) => lanczos(tap - LOBES - offset));
    const sum = row.reduce((a, b) => a + b, 0);
    row.forEach((weight, tap) => {
      all[place * TAPS + tap] = weight / sum;
    });
  }
  return all;
}

/** `[n, 1, high, wide]` to `factor` times the size along axis 2 or 3; past the rim the rim counts. */
function enlarged(x: Tensor, factor: number, axis: 2 | 3): Tensor {
  const [count, , high, wide] = x.shape as readonly [number, number, number, number];
  const size = axis === 2 ? high : wide;
  const around = Int32Array.from({ length: size + 2 * LOBES }, (_, i) =>
    Math.min(size - 1, Math.max(0, i - LOBES)),
  );
  const padded = gather(x, constant(tensor('i32', [around.length], around)), axis);
  const kernel = tensor('f32', axis === 2 ? [factor, 1, TAPS, 1] : [factor, 1, 1, TAPS], weights(factor));
  const places = conv(padded, constant(kernel));
  // [n, factor, high, wide]: places within a pixel come right after the pixel.
  return axis === 2
    ? reshape(transpose(places, [0, 2, 1, 3]), [count, 1, high * factor, wide])
    : reshape(transpose(places, [0, 2, 3, 1]), [count, 1, high, wide * factor]);
}

/** `images` `[n, 1, size, size]` → `larger` `[n, 1, size · factor, size · factor]`. */
function upscaleProgram(count: number, size: number, factor: number): Program {
  return trace('upscale', { images: { dtype: 'f32', shape: [count, 1, size, size] } }, ({ images }) => ({
    larger: enlarged(enlarged(images as Tensor, factor, 2), factor, 3),
  }));
}

/** Every channel of every picture for itself. */
export async function upscaled(backend: Backend, pictures: Pictures, factor: number): Promise<Pictures> {
  const { count, channels, size, pixels } = pictures;
  const shape = [channels, 1, size, size];
  const stride = channels * size * size;
  const values = new Uint8Array(pixels.length * factor * factor);
  const program = await backend.compile(upscaleProgram(channels, size, factor));
  try {
    for (let i = 0; i < count; i++) {
      const given = Float32Array.from(pixels.subarray(i * stride, (i + 1) * stride));
      const result = await program.run({ inputs: { images: tensor('f32', shape, given) } });
      const { data } = result.larger as HostTensor<'f32'>;
      const start = i * data.length;
      for (let at = 0; at < data.length; at++)
        values[start + at] = Math.round(Math.min(255, Math.max(0, data[at] as number)));
    }
  } finally {
    await program.free();
  }
  return { count, channels, size: size * factor, pixels: values };
}
