/** Products of features' rows by a backend's matrix product, for scores over many pictures. */
import { type HostTensor, tensor } from '../../base/tensor.ts';
import { matmul, swapAxes, type Tensor, trace } from '../../program/index.ts';
import type { Backend, Executable } from '../../runtime/contract.ts';
import type { Features } from './frechet.ts';
import type { Products } from './scores.ts';

export interface BackendProducts {
  products: Products;
  close(): Promise<void>;
}

export function backendProducts(backend: Backend, width: number): BackendProducts {
  const type = (rows: string) => ({ dtype: 'f32' as const, shape: [rows, width] });
  const program = trace('products', { left: type('left'), right: type('right') }, (x) => ({
    products: matmul(x.left as Tensor, swapAxes(x.right as Tensor)),
  }));
  let compiled: Promise<Executable> | undefined;
  const input = ({ count, data }: Features): HostTensor =>
    tensor('f32', [count, width], Float32Array.from(data));
  return {
    async products(a, b) {
      compiled ??= backend.compile(program);
      const result = await (await compiled).run({ inputs: { left: input(a), right: input(b) } });
      return (result.products as HostTensor<'f32'>).data;
    },
    close: async () => {
      await (await compiled)?.free();
    },
  };
}
