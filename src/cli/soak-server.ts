/** The server of a soak: started and stopped as a process of its own, with a key of its own, and its rows counted. Judges nothing. */
import { InkstoneError } from '../base/errors.ts';
import { type ChildProcess, spawnCommand } from '../base/host.ts';
import { Keys } from '../serve/keys.ts';
import { openStore } from '../store/index.ts';

/** Its own key, as a customer has one: spending is a table, too. Taken back when the soak is over. */
export async function withKeys<T>(home: string, use: (keys: Keys) => Promise<T>): Promise<T> {
  const store = await openStore(home);
  try {
    return await use(new Keys(store));
  } finally {
    await store.close();
  }
}

/** Rows of each table. */
export async function rowsOf(home: string): Promise<Record<string, number>> {
  const store = await openStore(home);
  try {
    const found: Record<string, number> = {};
    for (const name of await store.rows.collections()) found[name] = await store.rows.count(name);
    return found;
  } finally {
    await store.close();
  }
}

/** @throws InkstoneError `soak_failed` where it does not start, `model_missing` where it has nothing to ask */
export async function startServer(
  home: string,
  people: number,
): Promise<{ server: ChildProcess; address: string; model: string }> {
  const server = spawnCommand([
    'serve',
    '--home',
    home,
    '--port',
    '0',
    '--json',
    '--queue',
    String(people * 4),
  ]);
  server.stderr?.resume();
  const line = await new Promise<string>((resolve, reject) => {
    let said = '';
    server.stdout?.on('data', (piece) => {
      said += String(piece);
      if (said.includes('\n')) resolve(said.split('\n')[0] ?? '');
    });
    server.once('exit', () => reject(new InkstoneError('soak_failed', `the server did not start: ${said}`)));
  });
  const { address, model } = JSON.parse(line) as { address: string; model: string | null };
  if (model !== null) return { server, address, model };
  await stopServer(server);
  throw new InkstoneError('model_missing', 'there is no model to ask', {
    kind: 'missing',
    hint: 'train one, or clone the project: it ships one',
  });
}

export async function stopServer(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGTERM');
  const late = setTimeout(() => server.kill('SIGKILL'), 20_000);
  await ended;
  clearTimeout(late);
}
