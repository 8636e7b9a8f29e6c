/**
 * Real processes that crash, hang, grow and fail to start: what it costs the requests inside, and that others take
 * over. The processes run the scripted host, which has no model.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { TextEvent, TextRequest } from '../../base/contracts/generator.ts';
import { isAlive, processId, processUse, sendSignal } from '../../base/host.ts';
import { ChildReplica, type ChildReplicaOptions } from '../child-replica.ts';
import { ReplicaSet } from './replica-set.ts';
import type { HostScript } from './scripted-host.ts';
import { scriptedModel } from './scripted-model.ts';

let open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(open.map((one) => one.stop()));
  open = [];
});

function host(script: HostScript = {}, more: Partial<ChildReplicaOptions> = {}): ChildReplica {
  const replica = new ChildReplica({
    ...{ folder: JSON.stringify({ beat: 50, ...script }), model: scriptedModel('m') },
    ...{ entry: 'operate/hosts/scripted-host', restarts: { first: 10 } },
    ...more,
  });
  open.push(replica);
  return replica;
}

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};
const sampling = { maxTokens: 5, temperature: 0, topK: 0, topP: 1, seed: 0, stop: [] };
const asked = (prompt: string, maxTokens = 5): TextRequest => ({
  ...{ id: prompt, prompt, sampling: { ...sampling, maxTokens } },
});
async function say(
  replica: { generate(request: TextRequest, signal: AbortSignal): AsyncIterable<TextEvent> },
  prompt: string,
  maxTokens = 5,
): Promise<string> {
  let text = '';
  for await (const event of replica.generate(asked(prompt, maxTokens), new AbortController().signal))
    if (event.type === 'delta') text += event.text;
  return text;
}

describe('one host', () => {
  it('that crashes is started again, and tells what was inside', async () => {
    const replica = host();
    await replica.ready();
    await expect(say(replica, 'crash after 2')).rejects.toMatchObject({ code: 'replica_crashed' });
    await replica.ready();
    expect(await say(replica, 'on')).toBe('aaaaa');
    expect(replica.status().restarts).toBe(1);
  });

  it('that falls silent is ended and started again', async () => {
    const replica = host({}, { watch: { silent: 1500, busy: 60_000, every: 100 } });
    await replica.ready();
    const before = replica.processId as number;
    if (processUse(before) === undefined) return;
    await expect(say(replica, 'hang after 1')).rejects.toMatchObject({ code: 'replica_hung' });
    await replica.ready();
    expect(isAlive(before)).toBe(false);
    expect(await say(replica, 'on')).toBe('aaaaa');
  });

  it('that was stopped by a signal is ended, too', async () => {
    const replica = host({ pace: 5 }, { watch: { silent: 1500, busy: 60_000, every: 100 } });
    await replica.ready();
    if (processUse(processId()) === undefined) return;
    const answer = say(replica, 'long', 10_000);
    const caught = expect(answer).rejects.toMatchObject({ code: 'replica_hung' });
    await until(() => replica.status().running === 1);
    sendSignal(replica.processId as number, 'SIGSTOP');
    await caught;
    await replica.ready();
  });

  it('that takes too much memory is ended before the machine has none', async () => {
    const replica = host({ pace: 20 }, { watch: { memory: 400 * 2 ** 20, every: 50 } });
    await replica.ready();
    await expect(say(replica, 'eat 500 after 1', 1000)).rejects.toMatchObject({
      code: 'replica_out_of_memory',
      message: expect.stringContaining('may take 400'),
    });
    await replica.ready();
    expect(await say(replica, 'on')).toBe('aaaaa');
  });

  it('that only ends is left alone after a few times', async () => {
    const told: string[] = [];
    const replica = host(
      { stillborn: true },
      { restarts: { first: 1, crashes: 3 }, log: (message) => told.push(message) },
    );
    await expect(replica.ready()).rejects.toMatchObject({
      code: 'replica_failed',
      details: { retryAfter: 30 },
    });
    expect(told).toEqual(['model host ended', 'model host ended', 'model host ends again and again']);
    expect(replica.status()).toMatchObject({ state: 'failed', restarts: 2 });
  });

  it('that does not start in time is ended', async () => {
    const replica = host(
      { start: 600_000, beat: 600_000 },
      { watch: { startWithin: 200, every: 20 }, restarts: { crashes: 1 } },
    );
    await expect(replica.ready()).rejects.toMatchObject({
      code: 'replica_failed',
      message: expect.stringContaining('did not start'),
    });
  });
});

describe('several hosts as one', () => {
  function set(count: number, script: HostScript = {}): { replicas: ReplicaSet; hosts: ChildReplica[] } {
    const hosts: ChildReplica[] = [];
    const start = (): ChildReplica => {
      const one = host(script);
      hosts.push(one);
      return one;
    };
    const replicas = new ReplicaSet({ start, count });
    open.push(replicas);
    return { replicas, hosts };
  }
  const busy = async (hosts: readonly ChildReplica[]): Promise<ChildReplica> => {
    await until(() => hosts.some((one) => one.status().running > 0));
    return hosts.find((one) => one.status().running > 0) as ChildReplica;
  };
  const allReady = (hosts: readonly ChildReplica[]): Promise<unknown> =>
    Promise.all(hosts.map((one) => one.ready()));

  it('share the work, the one with least to do first', async () => {
    const { replicas, hosts } = set(3, { pace: 20 });
    await allReady(hosts);
    const answers = Array.from({ length: 6 }, () => say(replicas, 'on', 100));
    await until(() => hosts.reduce((sum, one) => sum + one.status().running, 0) === 6);
    expect(hosts.map((one) => one.status().running)).toEqual([2, 2, 2]);
    expect(replicas.status()).toMatchObject({ state: 'ready', running: 6 });
    await Promise.all(answers);
  });

  it('send a request again of which nothing was given out, and only once', async () => {
    const { replicas, hosts } = set(2);
    await allReady(hosts);
    // It crashes the second as well: then it is told.
    await expect(say(replicas, 'crash')).rejects.toMatchObject({ code: 'replica_crashed' });
    expect(replicas.snapshot().retried).toBe(1);
    await allReady(hosts);
    expect(hosts.map((one) => one.status().restarts)).toEqual([1, 1]);
  });

  it('answer as if nothing had been when a host dies under a request that has said nothing', async () => {
    const { replicas, hosts } = set(2, { pace: 300 });
    await allReady(hosts);
    const answer = say(replicas, 'on', 2);
    const at = await busy(hosts);
    sendSignal(at.processId as number, 'SIGKILL');
    expect(await answer).toBe('aa');
    expect(replicas.snapshot().retried).toBe(1);
  });

  it('go on with an answer in whose middle a host dies, and say nothing of it twice', async () => {
    const { replicas, hosts } = set(2, { pace: 20 });
    await allReady(hosts);
    let [text, struck] = ['', false];
    for await (const event of replicas.generate(asked('on', 100), new AbortController().signal)) {
      if (event.type !== 'delta') continue;
      text += event.text;
      if (text.length < 3 || struck) continue;
      struck = sendSignal((await busy(hosts)).processId as number, 'SIGKILL');
    }
    expect(struck).toBe(true);
    expect(text).toBe('a'.repeat(100));
    expect(replicas.snapshot().retried).toBe(1);
  });

  it('tell of a second crash in the middle of an answer, of which nothing is said twice', async () => {
    const { replicas, hosts } = set(2);
    await allReady(hosts);
    let text = '';
    const answer = (async () => {
      for await (const event of replicas.generate(asked('crash after 3', 9), new AbortController().signal))
        if (event.type === 'delta') text += event.text;
    })();
    await expect(answer).rejects.toMatchObject({ code: 'replica_crashed' });
    expect([text, replicas.snapshot().retried]).toEqual(['aaa', 1]);
  });

  it('wait for the one there is to come back', async () => {
    const { replicas, hosts } = set(1, { pace: 200 });
    await replicas.ready();
    const answer = say(replicas, 'on', 2);
    await until(() => hosts[0]?.status().running === 1);
    sendSignal(hosts[0]?.processId as number, 'SIGKILL');
    expect(await answer).toBe('aa');
  });

  it('grow and shrink, finishing what runs, down to none and up when somebody asks', async () => {
    const { replicas, hosts } = set(1, { pace: 10 });
    await replicas.ready();
    replicas.scale(3);
    await allReady(hosts);
    const answers = [1, 2, 3].map(() => say(replicas, 'on', 100));
    await until(() => hosts.every((one) => one.status().running === 1));
    replicas.scale(0);
    expect(replicas.size).toBe(0);
    expect(await Promise.all(answers)).toEqual(Array(3).fill('a'.repeat(100)));
    await until(() => hosts.every((one) => one.status().state === 'stopped'));
    expect(replicas.status().state).toBe('starting');
    expect(await say(replicas, 'on', 2)).toBe('aa');
    expect(hosts).toHaveLength(4);
    await replicas.drain();
    await expect(say(replicas, 'on')).rejects.toMatchObject({ code: 'replica_stopped' });
  });
});
