/** What every route may use, and what a request carries besides its body. Types only. */

import type { Store } from '../base/contracts/store.ts';
import type { AuditLog } from '../operate/audit-log.ts';
import type { Jobs } from '../operate/jobs/jobs.ts';
import type { ReplicaPool } from '../operate/pool.ts';
import type { Quotas } from '../operate/quota/quotas.ts';
import type { ModelRegistry } from '../operate/registry.ts';
import type { Trainings } from '../operate/trainings.ts';
import type { Alerter } from '../operate/watch/alerts/alerter.ts';
import type { AlertConfig } from '../operate/watch/alerts/config.ts';
import type { Watch } from '../operate/watch/watch.ts';
import type { GenerationServices } from './generation.ts';
import type { KeyRow, Keys } from './keys.ts';
import type { Owners } from './owners.ts';
import type { Scheduling } from './scheduling.ts';
import type { Sessions } from './sessions.ts';

export interface ServerContext {
  home: string;
  /** Of the home folder, among those that share the store. */
  place: string;
  store: Store;
  registry: ModelRegistry;
  pool: ReplicaPool;
  trainings: Trainings;
  jobs: Jobs;
  keys: Keys;
  generation: GenerationServices;
  scheduling: Scheduling;
  watch: Watch;
  alerter: Alerter;
  alertConfig: AlertConfig;
  quotas: Quotas;
  sessions: Sessions;
  owners: Owners;
  audit: AuditLog;
  /** Set once the server stops taking work. */
  draining: boolean;
  /** All there are, as they were added. */
  routes: { method: string; url: string }[];
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Id of the API key that was used; undefined while the server is open. */
    keyId: string | undefined;
    key: KeyRow | undefined;
    /** The server asks itself, for a batch. */
    inside: boolean;
  }
}
