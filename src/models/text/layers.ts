/** The layers that several text architectures share, over parameters by name. Knows no architecture. */
import { add, layerNorm, matmul, swapAxes, type Tensor } from '../../program/index.ts';
import type { Parameters } from './architecture.ts';

/** @param name a parameter that the architecture declares */
export function parameter(parameters: Parameters, name: string): Tensor {
  return parameters[name] as Tensor;
}

export function norm(parameters: Parameters, name: string, x: Tensor, epsilon?: number): Tensor {
  return layerNorm(x, parameter(parameters, `${name}.weight`), parameters[`${name}.bias`], epsilon);
}

/** `x·W + b` with W `[in, out]`, as GPT-2 keeps it; the bias where there is one. */
export function linear(parameters: Parameters, name: string, x: Tensor): Tensor {
  return biased(parameters, name, matmul(x, parameter(parameters, `${name}.weight`)));
}

/** `x·Wᵀ + b` with W `[out, in]`, as PyTorch's Linear keeps it. */
export function linearTransposed(parameters: Parameters, name: string, x: Tensor): Tensor {
  return biased(parameters, name, matmul(x, swapAxes(parameter(parameters, `${name}.weight`))));
}

function biased(parameters: Parameters, name: string, y: Tensor): Tensor {
  const bias = parameters[`${name}.bias`];
  return bias === undefined ? y : add(y, bias);
}
