/**
 * A way between two addresses of this machine that can swallow everything without a word, as a partitioned network does: a
 * network namespace behind a pair of virtual cards where this user may have one, else a proxy that stops passing bytes.
 */
import { spawnSync } from 'node:child_process';
import net from 'node:net';
import { freePort } from '../services/postgres.ts';

export interface Wire {
  kind: 'namespace' | 'proxy';
  /** Where the server behind it has to listen. */
  host: string;
  port: number;
  /** Words before the server's process. */
  before: readonly string[];
  /** Where it is to be reached through the wire. */
  url: string;
  cut(): void;
  heal(): void;
  close(): void;
}

/** The wire goes once through the proxy, or through cards with addresses that this number makes. */
export async function openWire(number: number): Promise<Wire> {
  return namespaceWire(number) ?? proxyWire();
}

const run = (words: string): boolean => {
  const [command = '', ...rest] = words.split(' ');
  return spawnSync(command, rest).status === 0;
};

function namespaceWire(number: number): Wire | undefined {
  const name = `inkstone-${process.pid}-${number}`;
  const [near, far] = [`ink${number}a`, `ink${number}b`];
  const [here, there] = [`10.213.${number}.1`, `10.213.${number}.2`];
  const inside = `ip netns exec ${name}`;
  const close = (): void => {
    run(`ip link del ${near}`);
    run(`ip netns del ${name}`);
  };
  // A card that may pass eight bits a second, none of them at once, passes no packet.
  const none = 'root tbf rate 8bit burst 10 limit 1';
  const made =
    run(`ip netns add ${name}`) &&
    run(`ip link add ${near} type veth peer name ${far}`) &&
    run(`ip link set ${far} netns ${name}`) &&
    run(`ip addr add ${here}/30 dev ${near}`) &&
    run(`ip link set ${near} up`) &&
    run(`${inside} ip addr add ${there}/30 dev ${far}`) &&
    run(`${inside} ip link set ${far} up`) &&
    run(`${inside} ip link set lo up`) &&
    run(`tc qdisc add dev ${near} ${none}`) &&
    run(`tc qdisc del dev ${near} root`);
  if (!made) {
    close();
    return undefined;
  }
  const port = 4747;
  return {
    ...{ kind: 'namespace', host: there, port, before: inside.split(' '), url: `http://${there}:${port}` },
    cut: () => {
      run(`tc qdisc add dev ${near} ${none}`);
      run(`${inside} tc qdisc add dev ${far} ${none}`);
    },
    heal: () => {
      run(`tc qdisc del dev ${near} root`);
      run(`${inside} tc qdisc del dev ${far} root`);
    },
    close,
  };
}

/** Accepts, and passes nothing while it is cut; what came meanwhile goes on its way afterwards. */
async function proxyWire(): Promise<Wire> {
  const port = await freePort();
  const sockets = new Set<net.Socket>();
  let isCut = false;
  const add = (socket: net.Socket): void => {
    sockets.add(socket);
    if (isCut) socket.pause();
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  };
  const server = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      add(from);
      from.on('data', (piece) => to.write(piece));
      from.on('close', () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: outside } = server.address() as net.AddressInfo;
  return {
    ...{ kind: 'proxy', host: '127.0.0.1', port, before: [], url: `http://127.0.0.1:${outside}` },
    cut: () => {
      isCut = true;
      for (const socket of sockets) socket.pause();
    },
    heal: () => {
      isCut = false;
      for (const socket of sockets) socket.resume();
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
