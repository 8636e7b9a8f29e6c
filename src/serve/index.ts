/** The HTTP server. */
export { Keys } from './keys.ts';
export { type RunningServer, type ServerOptions, startServer } from './server.ts';
