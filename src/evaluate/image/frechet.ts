/**
 * The Fréchet distance between two sets of features (Heusel et al. 2017, equation 6), in float64. Knows no network: what
 * the features are of is the caller's to say beside the number.
 */
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';

/** `count` rows of `width` numbers, one after another. */
export interface Features {
  count: number;
  width: number;
  data: Float32Array | Float64Array;
}

export interface Gaussian {
  mean: Float64Array;
  /** `[width, width]`, with N − 1 in the denominator. */
  covariance: Matrix;
  /** X with XᵀX = the covariance, where that has fewer rows: of fewer pictures than features. */
  rows?: Features;
}

export function gaussianOf({ count, width, data }: Features): Gaussian {
  const mean = new Float64Array(width);
  for (let row = 0; row < count; row++)
    for (let i = 0; i < width; i++) mean[i] = (mean[i] as number) + (data[row * width + i] as number);
  for (let i = 0; i < width; i++) mean[i] = (mean[i] as number) / count;
  const sums = new Float64Array(width * width);
  const few = count < width ? new Float64Array(count * width) : undefined;
  const centred = new Float64Array(width);
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < width; i++) centred[i] = (data[row * width + i] as number) - (mean[i] as number);
    few?.set(
      centred.map((value) => value / Math.sqrt(count - 1)),
      row * width,
    );
    for (let i = 0; i < width; i++) {
      const left = centred[i] as number;
      if (left === 0) continue;
      const at = i * width;
      for (let j = i; j < width; j++) sums[at + j] = (sums[at + j] as number) + left * (centred[j] as number);
    }
  }
  const covariance = new Matrix(width, width);
  for (let i = 0; i < width; i++)
    for (let j = i; j < width; j++) {
      const value = (sums[i * width + j] as number) / (count - 1);
      covariance.set(i, j, value);
      covariance.set(j, i, value);
    }
  return { mean, covariance, ...(few === undefined ? {} : { rows: { count, width, data: few } }) };
}

/**
 * ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½). With Σ₁ = XᵀX, Σ₁Σ₂ has the eigenvalues of XΣ₂Xᵀ, which is symmetric and has no more
 * rows than X.
 */
export function frechetDistance(a: Gaussian, b: Gaussian): number {
  let distance = 0;
  for (let i = 0; i < a.mean.length; i++) distance += ((a.mean[i] as number) - (b.mean[i] as number)) ** 2;
  const product =
    a.rows === undefined && b.rows !== undefined
      ? around(b.rows, a.covariance)
      : around(a.rows ?? rootOf(a.covariance), b.covariance);
  const { realEigenvalues } = new EigenvalueDecomposition(product, { assumeSymmetric: true });
  let trace = 0;
  for (const value of realEigenvalues) trace += Math.sqrt(Math.max(0, value));
  return distance + a.covariance.trace() + b.covariance.trace() - 2 * trace;
}

/** X with XᵀX = the covariance: its eigenvectors as rows, each times the root of its eigenvalue. */
function rootOf(covariance: Matrix): Features {
  const width = covariance.rows;
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(covariance, {
    assumeSymmetric: true,
  });
  const data = new Float64Array(width * width);
  realEigenvalues.forEach((value, row) => {
    const root = Math.sqrt(Math.max(0, value));
    for (let i = 0; i < width; i++) data[row * width + i] = root * eigenvectorMatrix.get(i, row);
  });
  return { count: width, width, data };
}

/** XΣXᵀ. */
function around({ count, width, data }: Features, covariance: Matrix): Matrix {
  const sigma = Float64Array.from(covariance.to1DArray());
  const turned = new Float64Array(width);
  const result = new Matrix(count, count);
  for (let row = 0; row < count; row++) {
    turned.fill(0);
    for (let k = 0; k < width; k++) {
      const left = data[row * width + k] as number;
      for (let i = 0; i < width; i++)
        turned[i] = (turned[i] as number) + left * (sigma[k * width + i] as number);
    }
    for (let other = 0; other <= row; other++) {
      let value = 0;
      for (let i = 0; i < width; i++) value += (turned[i] as number) * (data[other * width + i] as number);
      result.set(row, other, value);
      result.set(other, row, value);
    }
  }
  return result;
}
