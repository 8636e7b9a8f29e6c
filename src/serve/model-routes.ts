/** `/v1/models` and `/health`. */
import type { FastifyInstance } from 'fastify';
import { InkstoneError } from '../base/errors.ts';
import { memoryUse, uptime } from '../base/host.ts';
import type { ServerContext } from './context.ts';

export function addModelRoutes(app: FastifyInstance, context: ServerContext): void {
  const { registry, pool } = context;

  app.get('/v1/models', async () => {
    const data = [...(await registry.list()), ...(await registry.pictures())].map((m) => ({
      id: m.id,
      object: 'model',
      created: m.info.created,
      owned_by: 'inkstone',
    }));
    return {
      object: 'list',
      data,
      has_more: false,
      first_id: data[0]?.id ?? null,
      last_id: data.at(-1)?.id ?? null,
    };
  });

  app.get<{ Params: { '*': string } }>('/v1/models/*', async (request) => {
    const { id, info } = await registry.find(request.params['*']);
    return { id, object: 'model', created: info.created, owned_by: 'inkstone' };
  });

  app.delete<{ Params: { '*': string } }>('/v1/models/*', async (request) => {
    const { id, source } = await registry.get(request.params['*']);
    if (source !== 'folder')
      throw new InkstoneError(
        'model_not_removable',
        `the model '${id}' is not one that was tuned or registered here`,
        {
          kind: 'usage',
          hint: 'remove its folder',
          details: { param: 'model' },
        },
      );
    await registry.unregister(id);
    await pool.forget(id);
    context.watch.drift.forget(id);
    return { id, object: 'model', deleted: true };
  });

  app.get('/health', async () => {
    const { running, waiting } = context.generation.queue.status();
    return {
      status: context.draining ? 'draining' : 'ok',
      running,
      waiting,
      uptime: Math.round(uptime()),
      memory: memoryUse().resident + pool.memory(),
    };
  });

  app.get('/health/ready', async (_, reply) => {
    if (context.draining) return reply.code(503).header('retry-after', '2').send({ status: 'draining' });
    // A model that is being loaded answers soon; one that failed is started again by the next request.
    const { id, state, progress } = context.pool.loading() ?? {};
    if (id === undefined) return { status: 'ready' };
    return reply.code(503).header('retry-after', '1').send({ status: state, model: id, progress });
  });
}
