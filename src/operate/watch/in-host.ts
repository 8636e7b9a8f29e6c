/** What a model's process tells of its work: how its cache is used, and a span for each request that carries a trace. */
import type { TextEvent, TextRequest } from '../../base/contracts/generator.ts';
import type { DecodingStatus } from '../../base/contracts/replica.ts';
import { InkstoneError } from '../../base/errors.ts';
import type { DecoderStatus } from '../../generate/index.ts';
import { tracerFromEnvironment } from './otlp.ts';
import { readTraceparent, type Span } from './span.ts';

/** undefined for engines that do not tell. */
export function decodingStatus(status: Partial<DecoderStatus> | undefined): DecodingStatus | undefined {
  const { cacheBytes, cacheLimit, promptTokens, prefixTokens, preempted } = status ?? {};
  if (cacheBytes === undefined || cacheLimit === undefined) return undefined;
  return {
    cacheUsed: Math.min(1, cacheBytes / Math.max(1, cacheLimit)),
    ...{ promptTokens: promptTokens ?? 0, prefixTokens: prefixTokens ?? 0, preempted: preempted ?? 0 },
  };
}

const tracing = tracerFromEnvironment('model-host');

/** The same events; where the request belongs to a trace and a collector is named, its work becomes a span. */
export async function* traced(
  request: TextRequest,
  events: AsyncIterable<TextEvent>,
): AsyncGenerator<TextEvent> {
  const parent = readTraceparent(request.trace);
  if (tracing === undefined || parent === undefined) return yield* events;
  const span = tracing.tracer.start('generate', { parent, attributes: { 'gen_ai.response.id': request.id } });
  try {
    for await (const event of events) {
      note(span, event);
      yield event;
    }
  } catch (thrown) {
    span.fail(InkstoneError.from(thrown).code);
    throw thrown;
  } finally {
    span.end();
  }
}

function note(span: Span, event: TextEvent): void {
  if (event.type === 'start') span.event('prompt', { 'gen_ai.usage.input_tokens': event.promptTokens });
  else if (event.type === 'end')
    span.set({
      'gen_ai.usage.output_tokens': event.completionTokens,
      'gen_ai.response.finish_reasons': [event.reason],
    });
}
