/** `/v1/responses`: conversations as items, kept by default, streamed as events. The work is in generation.ts. */
import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { SamplingSettings, TextConstraint } from '../../base/contracts/generator.ts';
import type { Replica } from '../../base/contracts/replica.ts';
import { InkstoneError } from '../../base/errors.ts';
import { now } from '../../base/host.ts';
import { answerParts } from '../answer-parts.ts';
import { promptOf } from '../chat-prompt.ts';
import type { ServerContext } from '../context.ts';
import type { Turn } from '../conversation.ts';
import { answerOf, parse } from '../errors.ts';
import { type Choice, openGeneration } from '../generation.ts';
import { inConversation, seedOf } from '../sampling.ts';
import { listQuery } from '../schemas.ts';
import { EventStream, hangUp } from '../sse.ts';
import { checked } from '../structured.ts';
import { givenTool, toolingOf } from '../tools.ts';
import { refuse } from '../unsupported.ts';
import { page } from '../uploads.ts';
import { waitingOf } from '../waiting.ts';
import { itemId, KeptResponses } from './kept.ts';
import {
  type ResponseItem,
  type ResponsesBody,
  responseChoice,
  responsesBody,
  turnsOfItems,
} from './request.ts';
import { type ResponseHead, ResponseWriter } from './writer.ts';

const seconds = (): number => Math.floor(now() / 1000);
const given = (value: unknown): boolean => value !== undefined && value !== null;

/** What would change the answer and is not done here. @throws InkstoneError `unsupported_parameter` */
function refuseOthers(body: ResponsesBody): void {
  refuse(body.background === true, 'background');
  refuse(given(body.conversation), 'conversation');
  refuse(given(body.prompt), 'prompt', ' as a stored template');
  refuse(body.truncation === 'auto', 'truncation', ' by itself');
  const { effort, summary, generate_summary: old } = (body.reasoning ?? {}) as Record<string, unknown>;
  refuse((given(effort) && effort !== 'none') || given(summary) || given(old), 'reasoning');
  const verbosity = body.text?.verbosity;
  refuse(given(verbosity) && verbosity !== 'medium', 'text.verbosity');
}

function constraintOf(body: ResponsesBody): TextConstraint | undefined {
  const format = body.text?.format;
  if (format === null || format === undefined || format.type === 'text') return undefined;
  return checked(
    format.type === 'json_object' ? { type: 'json_object' } : { type: 'json_schema', schema: format.schema },
    'text.format',
  );
}

/** What every answer says of its request. */
function headOf(body: ResponsesBody, id: string): ResponseHead {
  return {
    id,
    object: 'response',
    created_at: seconds(),
    background: false,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    metadata: body.metadata ?? {},
    model: body.model,
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: body.previous_response_id ?? null,
    reasoning: { effort: null, summary: null },
    service_tier: 'default',
    store: body.store ?? true,
    temperature: body.temperature ?? 1,
    text: { format: body.text?.format ?? { type: 'text' } },
    tool_choice: body.tool_choice ?? 'auto',
    tools: (body.tools ?? []).map((tool) => ({
      ...tool,
      ...{ description: tool.description ?? null, parameters: tool.parameters ?? null },
      strict: tool.strict ?? false,
    })),
    top_logprobs: body.top_logprobs ?? 0,
    top_p: body.top_p ?? 1,
    truncation: 'disabled',
    user: body.user ?? null,
  };
}

export function addResponses(app: FastifyInstance, context: ServerContext): void {
  const { generation, store } = context;
  const kept = new KeptResponses(store);
  void kept.prune().catch(() => undefined);
  type ById = { Params: { id: string } };

  const choiceOf = (body: ResponsesBody, items: readonly ResponseItem[], before: readonly ResponseItem[]) => {
    const logprobs =
      body.include?.includes('message.output_text.logprobs') === true || (body.top_logprobs ?? 0) > 0;
    const tooling = toolingOf(
      (body.tools ?? []).map(givenTool),
      responseChoice(body.tool_choice),
      body.parallel_tool_calls ?? true,
    );
    const told: Turn[] = given(body.instructions)
      ? [{ role: 'system', content: body.instructions as string }]
      : [];
    const turns = turnsOfItems([...before, ...items], (i) => `input.${i - before.length}`);
    const constraint = constraintOf(body);
    const settings: SamplingSettings = {
      maxTokens: body.max_output_tokens ?? generation.defaultMaxTokens,
      temperature: body.temperature ?? 1,
      topK: Math.max(0, body.top_k ?? 0),
      topP: body.top_p ?? 1,
      seed: seedOf(body.seed),
      stop: [],
      ...(logprobs ? { logprobs: body.top_logprobs ?? 0 } : {}),
      ...(constraint === undefined ? {} : { constraint }),
    };
    const choices = async ({ model }: Replica): Promise<Choice[]> => {
      const prompt = await promptOf(model, [...told, ...turns], tooling);
      return [{ index: 0, prompt: prompt.text, sampling: inConversation(settings, prompt, tooling) }];
    };
    return { choices, tooling, limit: settings.maxTokens };
  };

  const create = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const body = parse(responsesBody, request.body);
    refuseOthers(body);
    const id = `resp_${randomUUID().replaceAll('-', '')}`;
    const items = await kept.resolve(
      typeof body.input === 'string' ? [{ type: 'message', role: 'user', content: body.input }] : body.input,
      request.keyId,
    );
    const previous = body.previous_response_id ?? undefined;
    const before = previous === undefined ? [] : await kept.history(previous, request.keyId);
    const { choices, tooling, limit } = choiceOf(body, items, before);
    const signal = hangUp(reply);
    const opened = await openGeneration(
      generation,
      {
        ...{ id: request.id, model: body.model, key: request.keyId, choices, param: 'input' },
        cost: { prompt: Math.ceil(Number(request.headers['content-length'] ?? 4) / 4), answer: limit },
        ...waitingOf(request, body.service_tier),
      },
      signal,
    );
    const out = body.stream === true ? new EventStream(reply, signal) : undefined;
    const writer = new ResponseWriter(
      headOf(body, id),
      out === undefined ? undefined : (event) => out.send(event, event.type),
    );
    const keep = async (): Promise<void> => {
      // What nobody waited for to its end was not answered.
      if (body.store === false || signal.aborted) return;
      const input = items.map((item, i) => {
        const type = item.type ?? 'message';
        return { ...item, type, id: itemId(type === 'message' ? 'msg' : 'fc', id, i, true) };
      });
      const response = writer.response() as { output: ResponseItem[] };
      await kept.keep({ id, created: seconds(), key: request.keyId, previous, input, response });
    };
    try {
      await writer.begin();
      for await (const event of answerParts(opened.events, tooling)) await writer.take(event, keep);
      if (out === undefined) return writer.response();
      await out.send('[DONE]');
      out.end();
      return reply;
    } catch (thrown) {
      if (out === undefined) throw thrown;
      const { error } = answerOf(thrown).body;
      request.failure = error.code ?? undefined;
      await writer.fail(error);
      out.end();
      return reply;
    } finally {
      opened.close();
    }
  };

  app.post('/v1/responses', create);

  app.get<ById>('/v1/responses/:id', async (request) => {
    refuse(
      (request.query as { stream?: unknown }).stream === 'true',
      'stream',
      ' for a response that is complete',
    );
    return (await kept.get(request.params.id, request.keyId)).response;
  });

  app.delete<ById>('/v1/responses/:id', async (request) => {
    const { id } = request.params;
    await kept.remove(id, request.keyId);
    return { id, object: 'response', deleted: true };
  });

  app.post<ById>('/v1/responses/:id/cancel', async (request) => {
    const { id } = await kept.get(request.params.id, request.keyId);
    throw new InkstoneError('response_complete', `the response ${id} did not run in the background`, {
      kind: 'usage',
      hint: 'hang up to end one that is being streamed',
    });
  });

  app.get<ById>('/v1/responses/:id/input_items', async (request) => {
    const query = parse(listQuery, request.query);
    const { input } = await kept.get(request.params.id, request.keyId);
    const all = input.map(withParts) as { id: string }[];
    const { rows, more } = page(query.order === 'asc' ? all : all.reverse(), query);
    return {
      ...{ object: 'list', data: rows, has_more: more },
      ...{ first_id: rows[0]?.id ?? null, last_id: rows.at(-1)?.id ?? null },
    };
  });
}

/** A message's content is always a list of parts when it is given out. */
function withParts(item: ResponseItem): ResponseItem {
  if (item.type !== 'message' || typeof item.content !== 'string') return item;
  const type = item.role === 'assistant' ? 'output_text' : 'input_text';
  return { ...item, status: 'completed', content: [{ type, text: item.content }] };
}
