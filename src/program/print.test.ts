/** Programs as text: what a trace, a gradient, a loop and a checkpoint look like. */
import { describe, expect, it } from 'vitest';
import { tensor } from '../base/tensor.ts';
import * as P from './index.ts';

type Tensors = Record<string, P.Tensor>;
const f32 = (...shape: P.Size[]): P.TensorType => ({ dtype: 'f32', shape });

describe('print', () => {
  it('a small program', () => {
    const program = P.trace('affine', { x: f32('batch', 4), w: f32(4, 2), b: f32(2) }, ({ x, w, b }) => ({
      y: P.relu(P.add(P.matmul(x as P.Tensor, w as P.Tensor), b as P.Tensor)),
    }));
    expect(P.print(program)).toMatchInlineSnapshot(`
      "program affine(x f32[batch, 4], w f32[4, 2], b f32[2])
        %0 f32[batch, 2] = matmul x w
        %1 f32[batch, 2] = add %0 b
        %2 f32[batch, 2] = maximum %1 0
        return y = %2"
    `);
  });

  it('a gradient, as traced and simplified', () => {
    const program = P.trace('loss', { w: f32(3), x: f32('rows', 3) }, ({ w, x }) => {
      const { value, gradient } = P.valueAndGrad((v: P.Tensor) =>
        P.mean(P.square(P.matmul(x as P.Tensor, P.reshape(v, [3, 1])))),
      )(w as P.Tensor);
      return { value, gradient };
    });
    expect(P.print(program)).toMatchInlineSnapshot(`
      "program loss(w f32[3], x f32[rows, 3])
        %0 f32[3, 1] = reshape w shape=[3, 1]
        %1 f32[rows, 1] = matmul x %0
        %2 f32[rows, 1] = mul %1 %1
        %3 f32[] = sum %2 axes=[0, 1] keep=false
        %4 f32[] = size size=rows
        %5 f32[] = div %3 %4
        %6 f32[] = fill value=1 shape=[] dtype=f32
        %7 f32[] = div %6 %4
        %8 f32[1, 1] = reshape %7 shape=[1, 1]
        %9 f32[rows, 1] = broadcastTo %8 shape=[rows, 1]
        %10 f32[rows, 1] = mul %9 %1
        %11 f32[rows, 1] = mul %9 %1
        %12 f32[rows, 1] = add %10 %11
        %13 f32[3, rows] = transpose x permutation=[1, 0]
        %14 f32[3, 1] = matmul %13 %12
        %15 f32[3] = reshape %14 shape=[3]
        return value = %5
        return gradient = %15"
    `);
    expect(P.print(P.simplify(program))).toMatchInlineSnapshot(`
      "program loss(w f32[3], x f32[rows, 3])
        %0 f32[3, 1] = reshape w shape=[3, 1]
        %1 f32[rows, 1] = matmul x %0
        %2 f32[rows, 1] = mul %1 %1
        %3 f32[] = sum %2 axes=[0, 1] keep=false
        %4 f32[] = size size=rows
        %5 f32[] = div %3 %4
        %6 f32[] = fill value=1 shape=[] dtype=f32
        %7 f32[] = div %6 %4
        %8 f32[1, 1] = reshape %7 shape=[1, 1]
        %9 f32[rows, 1] = mul %8 %1
        %10 f32[rows, 1] = add %9 %9
        %11 f32[3, rows] = transpose x permutation=[1, 0]
        %12 f32[3, 1] = matmul %11 %10
        %13 f32[3] = reshape %12 shape=[3]
        return value = %5
        return gradient = %13"
    `);
  });

  it('several results, constants, attributes of all kinds', () => {
    const program = P.trace('many', { x: f32(2, 5), n: { dtype: 'i64', shape: [3] } }, ({ x, n }) => {
      const [left, right] = P.split(x as P.Tensor, [2, 3], 1) as [P.Tensor, P.Tensor];
      return {
        best: P.topK(right, 2).indices,
        padded: P.pad(left, [
          [0, 0],
          [1, 2],
        ]),
        kept: P.slice(x as P.Tensor, { axis: 1, start: 1, end: 5, step: 2 }),
        picked: P.gather(P.constant(tensor('f32', [4], [1, 2, 3, 4])), P.add(n as P.Tensor, 1)),
        minus: P.constant(-0),
        x: x as P.Tensor,
      };
    });
    expect(P.print(program)).toMatchInlineSnapshot(`
      "program many(x f32[2, 5], n i64[3])
        %0 f32[2, 2], %1 f32[2, 3] = split x axis=1 sizes=[2, 3]
        %2 f32[2, 2], %3 i32[2, 2] = topK %1 k=2 axis=1 largest=true
        %4 f32[2, 5] = pad %0 pads=[[0, 0], [1, 2]] value=0
        %5 f32[2, 2] = slice x axis=1 start=1 end=5 step=2
        %6 f32[4] = constant value=f32[4]
        %7 i64[3] = add n 1
        %8 f32[3] = gather %6 %7 axis=0
        return best = %3
        return padded = %4
        return kept = %5
        return picked = %8
        return minus = -0
        return x = x"
    `);
  });

  it('a loop with its body inside', () => {
    const program = P.trace('sums', { h: f32(2), xs: f32('steps', 2) }, ({ h, xs }: Tensors) => {
      const { carry, results } = P.scan(
        { carry: { h: h as P.Tensor }, sequences: { x: xs as P.Tensor } },
        (step) => ({
          carry: { h: P.add(step.carry.h as P.Tensor, step.row.x as P.Tensor) },
          results: { twice: P.mul(step.carry.h as P.Tensor, 2) },
        }),
      );
      return { last: carry.h as P.Tensor, all: results.twice as P.Tensor };
    });
    expect(P.print(P.simplify(program))).toMatchInlineSnapshot(`
      "program sums(h f32[2], xs f32[steps, 2])
        %0 f32[2], %1 f32[steps, 2] = scan h xs body={scan} carries=1 sequences=1 reverse=false history=false
          program scan(carry_h f32[2], row_x f32[2])
            %0 f32[2] = add carry_h row_x
            %1 f32[2] = mul carry_h 2
            return next_h = %0
            return result_twice = %1
        return last = %0
        return all = %1"
    `);
  });

  it('what is computed again behind a barrier', () => {
    const program = P.trace('again', { x: f32(3) }, ({ x }) => ({
      gradient: P.grad((t: P.Tensor) => P.sum(P.checkpoint((u: P.Tensor) => P.exp(P.sin(u)))(t)))(
        x as P.Tensor,
      ),
    }));
    expect(P.print(P.simplify(program))).toMatchInlineSnapshot(`
      "program again(x f32[3])
        %0 f32[] = fill value=1 shape=[] dtype=f32
        %1 f32[1] = reshape %0 shape=[1]
        %2 f32[3] = broadcastTo %1 shape=[3]
        %3 f32[3] = barrier x %2
        %4 f32[3] = sin %3
        %5 f32[3] = exp %4
        %6 f32[3] = cos %3
        %7 f32[3] = mul %5 %6
        return gradient = %7"
    `);
  });
});
