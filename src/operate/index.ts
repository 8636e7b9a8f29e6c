/** Replicas, queues, models by name, trainings. */
export * from './child-replica.ts';
export * from './hosts/replica-set.ts';
export * from './model-info.ts';
export * from './pool.ts';
export * from './registry.ts';
export * from './run-metrics.ts';
export * from './scheduler/scheduler.ts';
export * from './stop-finder.ts';
export * from './text-generator.ts';
export * from './training-order.ts';
export * from './trainings.ts';
