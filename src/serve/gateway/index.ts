/** One address before several servers. */
export * from './config.ts';
export * from './gateway.ts';
