/** Trees of leaves (records and lists), walked in one fixed order: the order of keys as written. */
import { isTensor } from './ops/constant.ts';
import type { Tensor, Tree } from './types.ts';

/** Applies `fn` to each leaf; the second argument is its path, joined by dots. */
export function mapTree<T, U>(
  tree: Tree<T>,
  fn: (leaf: T, path: string) => U,
  isLeaf: (value: unknown) => boolean,
  path = '',
): Tree<U> {
  const under = (key: string | number): string => (path === '' ? String(key) : `${path}.${key}`);
  if (isLeaf(tree)) return fn(tree as T, path);
  if (Array.isArray(tree)) return tree.map((item, i) => mapTree(item as Tree<T>, fn, isLeaf, under(i)));
  const entries = Object.entries(tree as Record<string, Tree<T>>);
  return Object.fromEntries(entries.map(([key, item]) => [key, mapTree(item, fn, isLeaf, under(key))]));
}

/** The leaves in order. */
export function flatten(tree: Tree<Tensor>): Tensor[] {
  const leaves: Tensor[] = [];
  mapTree(tree, (leaf) => leaves.push(leaf), isTensor);
  return leaves;
}
