/** `inkstone gateway`: one address before several servers, ours or any that speaks the OpenAI wire. */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { homeFolder, readText, writeOut } from '../../base/host.ts';
import { Prices } from '../../operate/quota/prices.ts';
import { type GatewayOptions, gatewaySettings, startGateway } from '../../serve/gateway/index.ts';
import { openStore } from '../../store/index.ts';
import { command } from '../command.ts';

const schema = z.object({
  upstreams: z
    .array(z.string())
    .default([])
    .describe('Addresses of servers; one with a version for roll-outs: v2=http://10.0.0.7:4747'),
  servers: z
    .string()
    .optional()
    .describe(
      'JSON file with all settings: upstreams with names, keys, versions, models and tiers, policy, rollout',
    ),
  host: z
    .string()
    .default('127.0.0.1')
    .describe('Address to listen on; beyond loopback an API key is needed'),
  port: z.int().min(0).max(65535).default(4748).describe('Port to listen on; 0 takes a free one'),
  home: z.string().optional().describe('Folder for all state (default: .inkstone)'),
  policy: z
    .enum(['least-outstanding', 'two-choices'])
    .optional()
    .describe('How a server is chosen; two-choices where several gateways share the servers'),
  timeout: z.number().gt(0).optional().describe('Seconds without a byte from a server'),
  limit: z.int().min(1).optional().describe('Requests inside at once; more are answered 429'),
  price: z
    .array(z.string())
    .default([])
    .describe('MODEL=INPUT/OUTPUT: what a million tokens cost, for budgets; * for all others (default: 1/1)'),
  logRequests: z.boolean().default(true).describe('Writes a line for each request, without what was asked'),
});

async function settingsOf(given: z.output<typeof schema>): Promise<GatewayOptions> {
  const { servers, upstreams, policy, timeout, limit } = given;
  let file: Partial<GatewayOptions> = {};
  if (servers !== undefined)
    try {
      file = JSON.parse(await readText(servers)) as Partial<GatewayOptions>;
    } catch (thrown) {
      if (InkstoneError.is(thrown)) throw thrown;
      throw new InkstoneError('config_invalid', `${servers} is not JSON: ${(thrown as Error).message}`, {
        kind: 'usage',
      });
    }
  const named = upstreams.map((one) => {
    const [, version, url] = /^([\w.-]+)=(.+)$/.exec(one) ?? [];
    return url === undefined ? { url: one } : { url, version: version as string };
  });
  const all = {
    ...file,
    upstreams: [...(Array.isArray(file.upstreams) ? file.upstreams : []), ...named],
    ...(policy === undefined ? {} : { policy }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(limit === undefined ? {} : { limit }),
  };
  const read = gatewaySettings.safeParse(all);
  if (read.success) return all;
  const issue = read.error.issues[0];
  const none = all.upstreams.length === 0;
  throw new InkstoneError(
    'gateway_invalid',
    none ? 'there is no server behind this gateway' : `${issue?.path.join('.')}: ${issue?.message}`,
    { kind: 'usage', hint: 'inkstone gateway --upstreams http://127.0.0.1:4747,http://127.0.0.1:4757' },
  );
}

export default command({
  name: 'gateway',
  summary: 'One address before several servers: balanced, watched, with roll-outs',
  description:
    'Sends each request to the server with least to do, to another where one fails before the first byte, and to none that fails again and again. ' +
    'Servers may be ours or any that speaks the OpenAI wire. GET /gateway/status tells of them; POST /gateway/upstreams/NAME/drain and …/resume take one out and back; ' +
    'POST /gateway/rollout {"from", "to"} moves traffic to a new version step by step and takes it back where that fails more or answers more slowly. Ends in order on SIGINT or SIGTERM.',
  schema,
  endsBySignal: true,
  examples: [
    'gateway --upstreams http://127.0.0.1:4747,http://127.0.0.1:4757',
    'gateway --servers servers.json --host 0.0.0.0',
  ],
  async run(settings, context) {
    const { host, port, logRequests, price } = settings;
    const [given, prices] = [await settingsOf(settings), Prices.parse(price)];
    const store = await openStore(settings.home ?? homeFolder());
    const gateway = await startGateway({
      ...{ host, port, settings: given, store, prices },
      log: (message, details) => context.log.warn(message, details),
      ...(logRequests ? { logRequest: (facts) => context.log.often('request', facts) } : {}),
    }).catch(async (thrown: unknown) => {
      await store.close();
      throw thrown;
    });
    const upstreams = gateway.snapshot().upstreams.length;
    if (context.json)
      writeOut(`${JSON.stringify({ address: gateway.address, state: 'listening', upstreams })}\n`);
    context.print(
      `Inkstone gateway is listening · 网关已启动   ${gateway.address}/v1   (${upstreams} servers · 个服务)`,
    );
    context.print('  Ctrl+C ends it · 按 Ctrl+C 结束');
    await new Promise<void>((resolve) => {
      if (context.signal.aborted) resolve();
      context.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await gateway.close();
    await store.close();
    return { address: gateway.address, state: 'stopped' };
  },
  show: () => undefined,
});
