/**
 * Every metric that is published, by name, with its unit and labels: the one list that `/metrics`, alert rules and
 * dashboards share. `inkstone:…` are vLLM's names after our own prefix, `gen_ai_…` OpenTelemetry's as Prometheus spells
 * them. Knows no values.
 */

export interface MetricDefinition {
  name: string;
  kind: 'counter' | 'gauge' | 'histogram';
  help: string;
  labels: readonly string[];
  /** Upper bounds of a histogram. */
  buckets?: readonly number[];
}

/** vLLM's bounds, in seconds, so that its dashboards draw ours. */
const FIRST_TOKEN = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];
const BETWEEN_TOKENS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5,
];
const WHOLE_REQUEST = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240,
];
/** OpenTelemetry's advice for `gen_ai.client.token.usage`. */
const TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576];

const model = ['model_name'] as const;
const genAi = ['gen_ai_operation_name', 'gen_ai_request_model', 'gen_ai_provider_name'] as const;

const counter = (name: string, help: string, labels: readonly string[] = []): MetricDefinition => ({
  ...{ name, kind: 'counter', help, labels },
});
const gauge = (name: string, help: string, labels: readonly string[] = []): MetricDefinition => ({
  ...{ name, kind: 'gauge', help, labels },
});
const histogram = (
  name: string,
  help: string,
  labels: readonly string[],
  buckets: readonly number[],
): MetricDefinition => ({ name, kind: 'histogram', help, labels, buckets });

export const METRICS = {
  running: gauge('inkstone:num_requests_running', 'Requests that a model works on', model),
  waiting: gauge('inkstone:num_requests_waiting', 'Requests that wait for their turn', model),
  cacheUsage: gauge(
    'inkstone:kv_cache_usage_perc',
    'Share of the keys’ and values’ memory in use, 0 to 1',
    model,
  ),
  prefixHits: counter(
    'inkstone:prefix_cache_hits_total',
    'Prompt tokens that did not have to be read',
    model,
  ),
  prefixQueries: counter('inkstone:prefix_cache_queries_total', 'Prompt tokens that were looked for', model),
  preemptions: counter(
    'inkstone:num_preemptions_total',
    'Sequences that stepped back for want of memory',
    model,
  ),
  promptTokens: counter('inkstone:prompt_tokens_total', 'Tokens of prompts', model),
  generationTokens: counter('inkstone:generation_tokens_total', 'Tokens of answers', model),
  success: counter('inkstone:request_success_total', 'Answers by what ended them', [
    ...model,
    'finished_reason',
  ]),
  firstToken: histogram(
    'inkstone:time_to_first_token_seconds',
    'Seconds to the first token',
    model,
    FIRST_TOKEN,
  ),
  betweenTokens: histogram(
    'inkstone:inter_token_latency_seconds',
    'Seconds from token to token',
    model,
    BETWEEN_TOKENS,
  ),
  whole: histogram(
    'inkstone:e2e_request_latency_seconds',
    'Seconds of a whole request',
    model,
    WHOLE_REQUEST,
  ),
  queued: histogram('inkstone:request_queue_time_seconds', 'Seconds in the queue', model, WHOLE_REQUEST),
  tokenUsage: histogram(
    'gen_ai_client_token_usage',
    'Tokens of a request',
    [...genAi, 'gen_ai_token_type'],
    TOKENS,
  ),
  operation: histogram(
    'gen_ai_client_operation_duration_seconds',
    'Seconds of an operation',
    genAi,
    WHOLE_REQUEST,
  ),
  serverFirstToken: histogram(
    'gen_ai_server_time_to_first_token_seconds',
    'Seconds to the first token',
    genAi,
    FIRST_TOKEN,
  ),
  serverPerToken: histogram(
    'gen_ai_server_time_per_output_token_seconds',
    'Seconds a token after the first',
    genAi,
    BETWEEN_TOKENS,
  ),
  http: counter('inkstone_http_requests_total', 'Answers by route and status', ['method', 'route', 'status']),
  httpSeconds: histogram(
    'inkstone_http_request_duration_seconds',
    'Seconds of an answer',
    ['route'],
    WHOLE_REQUEST,
  ),
  requests: counter('inkstone_requests_total', 'Requests for generated content, refused ones too'),
  failures: counter(
    'inkstone_request_failures_total',
    'Requests for generated content that the server failed',
  ),
  rejections: counter('inkstone_requests_rejected_total', 'Requests turned away with 429 or 503', ['reason']),
  queueAge: gauge('inkstone_queue_oldest_seconds', 'Seconds that the oldest waiting request has waited'),
  replicas: gauge('inkstone_replicas', 'Replicas by state', [...model, 'state']),
  restarts: counter('inkstone_replica_restarts_total', 'Starts of a model’s process after it ended', model),
  memory: gauge('inkstone_memory_bytes', 'Bytes: server, models, machine’s total and free', ['kind']),
  held: gauge(
    'inkstone_memory_held_bytes',
    'Bytes that JavaScript held after its last whole collection: server, models',
    ['kind'],
  ),
  memoryUsed: gauge('inkstone_memory_used_ratio', 'Share of the machine’s memory in use, 0 to 1'),
  disk: gauge('inkstone_disk_bytes', 'Bytes of the disk under the home folder: total and free', ['kind']),
  diskUsed: gauge('inkstone_disk_used_ratio', 'Share of the disk in use, 0 to 1'),
  backupAge: gauge('inkstone_backup_age_seconds', 'Seconds since the last backup; absent where none is made'),
  drift: gauge(
    'inkstone_model_drift',
    'Population stability index of a model’s traffic against its first requests; above .25 it has changed',
    [...model, 'of'],
  ),
  keyTokens: counter('inkstone_key_tokens_total', 'Tokens by API key', ['key', 'kind']),
  keyCost: counter('inkstone_key_cost_total', 'Cost by API key, in the price list’s unit', ['key']),
  alerts: gauge('inkstone_alerts_firing', 'Alerts that fire', ['rule', 'severity']),
  spansDropped: counter('inkstone_trace_spans_dropped_total', 'Spans that could not be sent'),
  build: gauge('inkstone_build_info', 'Always 1; the version is a label', ['version']),
} as const satisfies Record<string, MetricDefinition>;

export type MetricKey = keyof typeof METRICS;

/** Names as they stand in `/metrics`: a histogram has three series. */
export function publishedNames(): Set<string> {
  const names = new Set<string>();
  for (const { name, kind } of Object.values(METRICS)) {
    if (kind === 'histogram') for (const part of ['bucket', 'sum', 'count']) names.add(`${name}_${part}`);
    else names.add(name);
  }
  return names;
}
