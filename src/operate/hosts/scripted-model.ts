/** What a host without a model says that it is. */
import type { ModelDescription } from '../../base/contracts/replica.ts';

export function scriptedModel(id: string): ModelDescription {
  const kinds = { consumes: ['text'], produces: ['text'], chat: false };
  return { id, family: 'text', created: 1, parameters: 26, context: 4096, ...kinds };
}
