/** The guard that lets everything through: the one gate's first occupant. Filters and marks come behind the same contract. */
import type { Guard } from '../base/contracts/guard.ts';

export const passThrough: Guard = {
  input: async () => ({ action: 'allow' }),
  output: async () => ({ action: 'allow' }),
  mark: async (bytes) => bytes,
};
