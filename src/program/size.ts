/**
 * Arithmetic on sizes that may be symbolic: polynomials with integer coefficients over names, kept in
 * one canonical spelling so that equal sizes are equal strings. Knows nothing of tensors.
 */
import { InkstoneError } from '../base/errors.ts';
import type { Shape, Size } from './types.ts';

/** Product of names (sorted, joined by `*`; '' for the constant) → coefficient. */
type Polynomial = Map<string, number>;

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

function parse(size: Size): Polynomial {
  const result: Polynomial = new Map();
  if (typeof size === 'number') {
    // Below zero, too: differences pass through here.
    if (!Number.isInteger(size)) {
      throw new InkstoneError('size_invalid', `a size is a whole number or a name, not ${size}`, {
        kind: 'usage',
      });
    }
    if (size !== 0) result.set('', size);
    return result;
  }
  for (const term of size.split('+')) {
    let coefficient = 1;
    const names: string[] = [];
    for (const factor of term.split('*')) {
      if (NAME.test(factor)) names.push(factor);
      else if (/^-?\d+$/.test(factor)) coefficient *= Number(factor);
      else throw new InkstoneError('size_invalid', `cannot read the size "${size}"`, { kind: 'usage' });
    }
    accumulate(result, names.sort().join('*'), coefficient);
  }
  return result;
}

function accumulate(into: Polynomial, key: string, coefficient: number): void {
  const sum = (into.get(key) ?? 0) + coefficient;
  if (sum === 0) into.delete(key);
  else into.set(key, sum);
}

function write(polynomial: Polynomial): Size {
  if (polynomial.size === 0) return 0;
  const constant = polynomial.get('');
  if (polynomial.size === 1 && constant !== undefined) return constant;
  return [...polynomial.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, c]) => (key === '' ? String(c) : c === 1 ? key : `${c}*${key}`))
    .join('+');
}

/** The sizes as programs keep them. @throws InkstoneError `size_invalid` for what is no size */
export function canonicalShape(shape: Shape): Size[] {
  return shape.map((size) => {
    const own = write(parse(size));
    if (typeof own === 'number' && own < 0)
      throw new InkstoneError('size_invalid', `a size is not below 0, as ${own} is`, { kind: 'usage' });
    return own;
  });
}

export function addSizes(a: Size, b: Size): Size {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  const sum = parse(a);
  for (const [key, c] of parse(b)) accumulate(sum, key, c);
  return write(sum);
}

export function scaleSize(a: Size, factor: number): Size {
  if (typeof a === 'number') return a * factor + 0;
  const scaled: Polynomial = new Map();
  for (const [key, c] of parse(a)) accumulate(scaled, key, c * factor);
  return write(scaled);
}

export function subtractSizes(a: Size, b: Size): Size {
  return typeof a === 'number' && typeof b === 'number' ? a - b : addSizes(a, scaleSize(b, -1));
}

export function multiplySizes(a: Size, b: Size): Size {
  // Plus 0: there is one zero only.
  if (typeof a === 'number' && typeof b === 'number') return a * b + 0;
  const product: Polynomial = new Map();
  for (const [keyA, ca] of parse(a)) {
    for (const [keyB, cb] of parse(b)) {
      const names = [...keyA.split('*'), ...keyB.split('*')].filter((n) => n !== '').sort();
      accumulate(product, names.join('*'), ca * cb);
    }
  }
  return write(product);
}

/** Exact division by a product of names and a number; undefined where it does not come out even. */
export function divideSizes(a: Size, b: Size): Size | undefined {
  if (a === b) return 1;
  if (typeof a === 'number' && typeof b === 'number') return b !== 0 && a % b === 0 ? a / b : undefined;
  const divisor = [...parse(b)];
  if (divisor.length !== 1) return undefined;
  const [divisorKey, divisorC] = divisor[0] as [string, number];
  const quotient: Polynomial = new Map();
  for (const [key, c] of parse(a)) {
    if (c % divisorC !== 0) return undefined;
    const names = key.split('*').filter((n) => n !== '');
    for (const name of divisorKey.split('*').filter((n) => n !== '')) {
      const at = names.indexOf(name);
      if (at < 0) return undefined;
      names.splice(at, 1);
    }
    accumulate(quotient, names.join('*'), c / divisorC);
  }
  return write(quotient);
}

/** Number of elements. */
export function countOf(shape: Shape): Size {
  return shape.reduce<Size>((product, size) => multiplySizes(product, size), 1);
}

/** The names in a size. */
export function namesIn(size: Size): string[] {
  if (typeof size === 'number') return [];
  const names = new Set<string>();
  for (const key of parse(size).keys()) for (const name of key.split('*')) if (name !== '') names.add(name);
  return [...names];
}

/** Terms as [coefficient, names], for lowering. */
export function termsOf(size: Size): { coefficient: number; names: string[] }[] {
  return [...parse(size)].map(([key, coefficient]) => ({
    coefficient,
    names: key.split('*').filter((n) => n !== ''),
  }));
}

/** Puts numbers for names; names without a value stay. */
export function bindSize(size: Size, sizes: Readonly<Record<string, number>>): Size {
  if (typeof size === 'number') return size;
  let total: Size = 0;
  for (const { coefficient, names } of termsOf(size)) {
    let product: Size = 1;
    for (const name of names) product = multiplySizes(product, sizes[name] ?? name);
    total = addSizes(total, scaleSize(product, coefficient));
  }
  return total;
}

export function bindShape(shape: Shape, sizes: Readonly<Record<string, number>>): Size[] {
  return shape.map((size) => bindSize(size, sizes));
}

export function isStatic(shape: Shape): shape is readonly number[] {
  return shape.every((size) => typeof size === 'number');
}

/** Whether an axis is 0, or may turn out to be. */
export function mayBeEmpty(shape: Shape): boolean {
  return shape.some((size) => size === 0 || typeof size === 'string');
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

export function showShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}
