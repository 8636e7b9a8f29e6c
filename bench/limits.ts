/**
 * What this machine can do at most, measured: float32 products and memory. The best of every library at hand,
 * so that a share of it says something about the machine and not about the library.
 */

import { productFlops } from './flops.ts';
import type { Peer } from './peer.ts';
import type { OpenPeer } from './peers.ts';
import type { Work } from './protocol.ts';
import { round } from './report.ts';

export interface Limit {
  /** GFLOP/s or GB/s. */
  value: number;
  by: string;
}

export const PRODUCTS: readonly (readonly [number, number, number])[] = [
  [1024, 1024, 1024],
  [2048, 2048, 2048],
  [2048, 384, 1536],
  [2048, 1536, 384],
  [768, 128, 512],
];

/** Elements of an array no cache holds: 512 MB. */
export const LARGE = 2 ** 27;

/** Fastest of `count` runs, in seconds: for limits the best counts, not the middle. */
export async function fastest(peer: Peer, work: Work, count: number): Promise<number> {
  const name = `limit ${JSON.stringify(work)}`;
  await peer.ask({ do: 'prepare', name, ...work });
  await peer.ask({ do: 'run', name, count: 2 });
  const { seconds } = await peer.ask({ do: 'run', name, count });
  await peer.ask({ do: 'free', name });
  return Math.min(...seconds);
}

/** The participants that may measure limits: ours, and one PyTorch. */
export function measurers(ours: Peer, open: readonly OpenPeer[]): { peer: Peer; name: string }[] {
  const torch = open.find(({ id }) => id === 'pytorch');
  return [
    { peer: ours, name: 'ONNX Runtime' },
    ...(torch === undefined ? [] : [{ peer: torch.peer, name: `PyTorch ${torch.description.version}` }]),
  ];
}

const best = (found: Limit[]): Limit => found.reduce((a, b) => (b.value > a.value ? b : a));

/** GFLOP/s of the best product over `shapes`, and the best of each library: the peer may not reach the machine's. */
export async function productPeak(
  ours: Peer,
  open: readonly OpenPeer[],
  shapes = PRODUCTS,
): Promise<Limit & { each: Record<string, number> }> {
  const found: Limit[] = [];
  const each: Record<string, number> = {};
  for (const { peer, name } of measurers(ours, open)) {
    for (const shape of shapes) {
      const seconds = await fastest(peer, { work: 'gemm', shape }, 12);
      const value = productFlops(shape) / seconds / 1e9;
      found.push({ value, by: `${name}, ${shape.join('×')}` });
      each[name] = Math.max(each[name] ?? 0, round(value));
    }
  }
  return { ...best(found), each };
}

/** GB/s of reading `elements` float32 values, or of a triad over them where PyTorch can do one. */
export async function readBandwidth(ours: Peer, open: readonly OpenPeer[], elements = LARGE): Promise<Limit> {
  const found: Limit[] = [];
  for (const { peer, name } of measurers(ours, open)) {
    const kinds = name.startsWith('PyTorch') ? (['read', 'triad'] as const) : (['read'] as const);
    for (const kind of kinds) {
      const seconds = await fastest(peer, { work: 'bandwidth', kind, elements }, elements < LARGE ? 30 : 5);
      found.push({ value: ((kind === 'read' ? 4 : 12) * elements) / seconds / 1e9, by: `${name}, ${kind}` });
    }
  }
  return best(found);
}
