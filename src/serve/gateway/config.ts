/** What a gateway is told: the servers behind it and how it treats them. One schema for file, flags and tests. */
import { z } from 'zod';

export const upstreamSettings = z.object({
  /** Told in logs, metrics and commands; default: host and port. */
  name: z.string().min(1).optional(),
  /** With or without `/v1` at its end. */
  url: z.url({ protocol: /^https?$/ }),
  /** Sent as bearer token; the client's own key never leaves the gateway. */
  key: z.string().min(1).optional(),
  /** For roll-outs by share of traffic. */
  version: z.string().default(''),
  /** Names of clients to names there; default: what it says at /v1/models, under the same names. */
  models: z.record(z.string(), z.string()).optional(),
  /** The lowest tier that answers is used; higher ones stand by. */
  tier: z.int().min(0).default(0),
});
export type UpstreamSettings = z.infer<typeof upstreamSettings>;

export const rolloutSettings = z.object({
  from: z.string(),
  to: z.string(),
  /** Shares of the traffic, one after another. */
  steps: z.array(z.number().gt(0).max(1)).min(1).default([0.05, 0.25, 0.5, 1]),
  /** Seconds that each lasts at least. */
  seconds: z.number().min(0).default(60),
  /** Answers of the new version below which nothing is decided. */
  requests: z.int().min(1).default(50),
  /** Share of failures above the old version's that takes it back. */
  failures: z.number().min(0).max(1).default(0.02),
  /** Times the old version's 95th percentile of time to the first byte that takes it back. */
  slower: z.number().gt(1).default(1.5),
});
export type RolloutRequest = z.infer<typeof rolloutSettings>;

export const gatewaySettings = z.object({
  upstreams: z.array(upstreamSettings).min(1),
  policy: z.enum(['least-outstanding', 'two-choices']).default('least-outstanding'),
  /** Servers that one request is sent to at most, one after another. */
  attempts: z.int().min(1).max(10).default(3),
  /** Seconds without a byte from a server. */
  timeout: z.number().gt(0).default(300),
  /** Requests inside at once; more are answered 429. */
  limit: z.int().min(1).default(2048),
  /** Bytes of a request. */
  maxBody: z
    .int()
    .min(1024)
    .default(32 * 2 ** 20),
  /** Tokens that an answer is taken to have, for limits, where neither the request nor earlier answers say. */
  maxTokens: z.int().min(1).default(256),
  /** Seconds between looks at the servers. */
  health: z.number().gt(0).default(2),
  rollout: rolloutSettings.optional(),
});
export type GatewaySettings = z.infer<typeof gatewaySettings>;
export type GatewayOptions = z.input<typeof gatewaySettings>;
