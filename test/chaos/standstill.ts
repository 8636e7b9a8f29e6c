/**
 * When this process stood still itself, for seconds: the machine slept, or was paused as a whole. Nothing of what was under
 * way meanwhile says anything of the system, and time that nobody had does not count. Knows no requests.
 */

/** Milliseconds between looks, and of a delay that is no busy machine any more. */
const EVERY = 50;
const LEAST = 2000;

const windows: { from: number; to: number }[] = [];
let last = performance.now();
setInterval(() => {
  const now = performance.now();
  if (now - last > LEAST) windows.push({ from: last, to: now });
  last = now;
}, EVERY).unref();

/** Milliseconds between two instants of `performance.now()` for which everything stood still. */
export function stoodStill(from: number, to: number): number {
  // A look may be due: what asks is told of a standstill that ends just now, too.
  const all = to - last > LEAST ? [...windows, { from: last, to }] : windows;
  return all.reduce((sum, one) => sum + Math.max(0, Math.min(to, one.to) - Math.max(from, one.from)), 0);
}

/** Milliseconds since an instant, without those. */
export function since(began: number): number {
  const now = performance.now();
  return now - began - stoodStill(began, now);
}
