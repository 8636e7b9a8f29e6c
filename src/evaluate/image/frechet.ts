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
}

export function gaussianOf({ count, width, data }: Features): Gaussian {
  const mean = new Float64Array(width);
  for (let row = 0; row < count; row++)
    for (let i = 0; i < width; i++) mean[i] = (mean[i] as number) + (data[row * width + i] as number);
  for (let i = 0; i < width; i++) mean[i] = (mean[i] as number) / count;
  const sums = new Float64Array(width * width);
  const centred = new Float64Array(width);
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < width; i++) centred[i] = (data[row * width + i] as number) - (mean[i] as number);
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
  return { mean, covariance };
}

/** ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½). The trace of the root is that of (Σ₁^½ Σ₂ Σ₁^½)^½, which is symmetric. */
export function frechetDistance(a: Gaussian, b: Gaussian): number {
  let distance = 0;
  for (let i = 0; i < a.mean.length; i++) distance += ((a.mean[i] as number) - (b.mean[i] as number)) ** 2;
  const root = symmetricRoot(a.covariance);
  const product = root.mmul(b.covariance).mmul(root);
  let trace = 0;
  for (const value of eigenvaluesOf(product)) trace += Math.sqrt(Math.max(0, value));
  return distance + a.covariance.trace() + b.covariance.trace() - 2 * trace;
}

function eigenvaluesOf(matrix: Matrix): readonly number[] {
  return new EigenvalueDecomposition(symmetric(matrix), { assumeSymmetric: true }).realEigenvalues;
}

/** Rounding leaves a product a little lopsided. */
const symmetric = (matrix: Matrix): Matrix => Matrix.add(matrix, matrix.transpose()).mul(0.5);

function symmetricRoot(matrix: Matrix): Matrix {
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(matrix, {
    assumeSymmetric: true,
  });
  const scaled = eigenvectorMatrix.clone();
  realEigenvalues.forEach((value, column) => {
    const root = Math.sqrt(Math.max(0, value));
    for (let row = 0; row < scaled.rows; row++) scaled.set(row, column, scaled.get(row, column) * root);
  });
  return scaled.mmul(eigenvectorMatrix.transpose());
}
