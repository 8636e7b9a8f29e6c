/** `/v1/chat/completions`: a conversation goes on, with tools where it has some. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { InkstoneError } from '../base/errors.ts';
import { answer } from './answers.ts';
import { promptOf } from './chat-prompt.ts';
import { turnsOfMessages } from './conversation.ts';
import { parse } from './errors.ts';
import type { GenerationServices } from './generation.ts';
import { choicesOf, inConversation, samplingOf } from './sampling.ts';
import { chatBody } from './schemas.ts';
import { chatShape } from './shapes.ts';
import { chatChoice, givenTool, toolingOf } from './tools.ts';
import { refuse } from './unsupported.ts';

export async function chatCompletions(
  services: GenerationServices,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const body = parse(chatBody, request.body);
  if (body.top_logprobs !== null && body.top_logprobs !== undefined && body.logprobs !== true) {
    throw new InkstoneError('parameter_invalid', "'top_logprobs' needs 'logprobs' to be true", {
      kind: 'usage',
      details: { param: 'top_logprobs' },
    });
  }
  const settings = samplingOf(
    body,
    body.max_completion_tokens ?? body.max_tokens,
    body.logprobs === true ? (body.top_logprobs ?? 0) : undefined,
    services,
  );
  const tooling = toolingOf(
    (body.tools ?? []).map(({ function: given }) => givenTool(given)),
    chatChoice(body.tool_choice),
    body.parallel_tool_calls ?? true,
  );
  refuse(
    (body.best_of ?? 1) > (body.n ?? 1) && settings.beams === undefined,
    'best_of',
    ' without a beam search',
  );
  return answer(services, request, reply, {
    body,
    // The template is rendered in the request's place in the queue, never before it has one.
    choices: async ({ model }) => {
      const prompt = await promptOf(model, turnsOfMessages(body.messages), tooling);
      return choicesOf([prompt.text], inConversation(settings, prompt, tooling), body.n ?? 1);
    },
    shape: chatShape(body.logprobs === true, tooling !== undefined),
    limit: settings.maxTokens,
    param: 'messages',
    tooling,
  });
}
