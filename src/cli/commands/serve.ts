/** `inkstone serve`: the server and the studio. */
import { z } from 'zod';
import { homeFolder, writeOut } from '../../base/host.ts';
import { WEIGHT_FORMATS } from '../../nn/quantise.ts';
import { Prices } from '../../operate/quota/prices.ts';
import { startServer } from '../../serve/index.ts';
import { command } from '../command.ts';

const schema = z.object({
  host: z
    .string()
    .default('127.0.0.1')
    .describe('Address to listen on; beyond loopback an API key is needed'),
  port: z.int().min(0).max(65535).default(4747).describe('Port to listen on; 0 takes a free one'),
  home: z.string().optional().describe('Folder for all state (default: .inkstone)'),
  model: z.string().optional().describe('Model to load at the start (default: the first there is)'),
  maxModels: z.int().min(1).default(2).describe('Models kept loaded at once'),
  replicas: z.int().min(1).default(1).describe('Processes for each model; requests are spread over them'),
  maxReplicas: z
    .int()
    .min(1)
    .optional()
    .describe('Most processes for each model; their number then follows the load (default: it is fixed)'),
  minReplicas: z
    .int()
    .min(0)
    .optional()
    .describe('Fewest processes where they follow the load; 0 puts all down'),
  targetOutstanding: z
    .number()
    .gt(0)
    .optional()
    .describe(
      'Requests that one process shall have where they follow the load (default: 3/4 of --concurrency)',
    ),
  memoryMegabytes: z
    .int()
    .min(64)
    .optional()
    .describe(
      'Memory for all models together (default: four fifths of the machine); the least used is put down',
    ),
  hostMegabytes: z
    .int()
    .min(64)
    .optional()
    .describe(
      'Memory above which one process of a model is ended and started anew (default: as for all together)',
    ),
  idleMinutes: z
    .number()
    .gt(0)
    .optional()
    .describe('Minutes after which a model that nobody asks for is put down (default: never)'),
  concurrency: z.int().min(1).default(16).describe('Requests that one replica runs at once'),
  weights: z
    .enum(WEIGHT_FORMATS)
    .default('float32')
    .describe('How weights are kept, unless the model has its own setting (`models set`)'),
  cacheMegabytes: z
    .int()
    .min(1)
    .default(1024)
    .describe('Memory for the keys and values of one model; sequences that do not fit wait'),
  queue: z.int().min(0).default(64).describe('Requests that may wait for a model; more are answered 429'),
  maxWait: z.number().gt(0).default(300).describe('Seconds within which the turn of a request must come'),
  maxBody: z
    .int()
    .min(1024)
    .default(4 * 2 ** 20)
    .describe('Largest JSON body in bytes'),
  price: z
    .array(z.string())
    .default([])
    .describe('MODEL=INPUT/OUTPUT: what a million tokens cost, for budgets; * for all others (default: 1/1)'),
  logRequests: z.boolean().default(true).describe('Writes a line for each request, without what was asked'),
  logPrompts: z.boolean().default(false).describe('Puts what was asked into these lines'),
  allowOrigin: z
    .array(z.string())
    .default([])
    .describe('Web origins that may call the server from a browser; * for all'),
});

export default command({
  name: 'serve',
  summary: 'Serve models over the OpenAI wire, with the studio',
  description:
    'Answers /v1/models, /v1/completions and /v1/chat/completions, and shows the studio at /. Ends in order on SIGINT or SIGTERM: what runs is finished.',
  schema,
  endsBySignal: true,
  examples: ['serve', 'serve --port 8080 --model my-model', 'serve --host 0.0.0.0'],
  async run(settings, context) {
    const { allowOrigin, home, model, logRequests, price, ...rest } = settings;
    const server = await startServer({
      ...rest,
      home: home ?? homeFolder(),
      allowedOrigins: allowOrigin,
      prices: Prices.parse(price),
      ...(model === undefined ? {} : { model }),
      log: (message, details) => context.log.warn(message, details),
      ...(logRequests ? { logRequest: (message, facts) => context.log.often(message, facts) } : {}),
    });
    const first = model ?? (await server.context.registry.list())[0]?.id;
    // A program that started the server reads the address from this line; the last line tells of the end.
    if (context.json)
      writeOut(`${JSON.stringify({ address: server.address, state: 'listening', model: first ?? null })}\n`);
    context.print(`Inkstone is listening · 已启动   ${server.address}`);
    context.print(`  Studio · 界面        ${server.address}/`);
    context.print(
      `  OpenAI API           ${server.address}/v1   (model · 模型: ${first ?? 'none yet; train one in the studio · 暂无，请先训练'})`,
    );
    context.print('  Ctrl+C ends it · 按 Ctrl+C 结束');
    await new Promise<void>((resolve) => {
      if (context.signal.aborted) resolve();
      context.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await server.close();
    return { address: server.address, state: 'stopped' };
  },
  show: () => undefined,
});
