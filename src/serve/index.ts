/** The HTTP server. */
export { type KeyRow, type KeySettings, Keys, SCOPES } from './keys.ts';
export { type RunningServer, type ServerOptions, startServer } from './server.ts';
