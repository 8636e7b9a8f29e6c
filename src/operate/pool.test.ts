/** Models by name, and the replicas that stand for them: which folder counts, who is started, replaced, put down. */
import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ManualClock } from '../base/clock.ts';
import type { ModelDescription, Replica, ReplicaState } from '../base/contracts/replica.ts';
import { openFileStore } from '../store/index.ts';
import { type PoolOptions, ReplicaPool } from './pool.ts';
import { ModelRegistry } from './registry.ts';

let home: string;
let registry: ModelRegistry;
let started: Idle[];

/** A replica that only says what is done with it. */
class Idle implements Replica {
  readonly model: ModelDescription;
  state: ReplicaState = 'ready';
  running = 0;
  memory = 10;
  error: { code: string; message: string } | undefined;
  constructor(id: string) {
    const kinds = { consumes: ['text'], produces: ['text'], chat: false };
    this.model = { id, family: 'text', created: 0, parameters: 0, context: 8, ...kinds };
  }
  status() {
    const { state, running, memory, error } = this;
    return { state, progress: 1, running, waiting: 0, memory, ...(error === undefined ? {} : { error }) };
  }
  async ready(): Promise<void> {}
  async countTokens(): Promise<number> {
    return 0;
  }
  async *generate(): AsyncGenerator<never> {}
  async drain(): Promise<void> {
    this.state = 'stopped';
  }
  async stop(): Promise<void> {
    this.state = 'stopped';
  }
}

const config = { layers: 1, heads: 1, width: 4, context: 8, vocabulary: 26, bias: false };

async function model(folder: string, weights = 'model.safetensors', text?: string): Promise<string> {
  await mkdir(path.dirname(path.join(folder, weights)), { recursive: true });
  const own = { family: 'text', architecture: 'gpt2', model: config, created: 1 };
  await writeFile(path.join(folder, 'config.json'), text ?? JSON.stringify(own));
  await writeFile(path.join(folder, weights), '');
  return folder;
}
const run = (name: string, weights?: string, text?: string): Promise<string> =>
  model(path.join(home, 'runs', name), weights, text);

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-pool-'));
  registry = new ModelRegistry(home, await openFileStore(path.join(home, 'store')));
  started = [];
});
afterEach(() => rm(home, { recursive: true, force: true }));

function pool(limit = 2, more: Partial<PoolOptions> = {}): ReplicaPool {
  const start = ({ id }: { id: string }): Replica => {
    const replica = new Idle(id);
    started.push(replica);
    return replica;
  };
  return new ReplicaPool({ registry, limit, start, ...more });
}

describe('the registry', () => {
  it('finds runs, registered folders and Hugging Face folders', async () => {
    await run('done');
    await run('going', 'checkpoints/last.safetensors');
    await mkdir(path.join(home, 'runs', 'empty'));
    await run('broken', 'model.safetensors', '{');
    const outside = await model(path.join(home, 'outside'));
    const hf = { model_type: 'gpt2', n_layer: 1, n_head: 1, n_embd: 4, n_positions: 8, vocab_size: 26 };
    const gpt2 = await model(path.join(home, 'gpt2'), undefined, JSON.stringify(hf));
    await registry.register('team/outside', outside);
    await registry.register('gpt2', gpt2);
    const found = (await registry.list())
      .filter((m) => m.source !== 'starter')
      .map(({ id, source }) => [id, source]);
    expect(found).toEqual([
      ['done', 'run'],
      ['going', 'run'],
      ['gpt2', 'folder'],
      ['team/outside', 'folder'],
    ]);
    expect((await registry.get('team/outside')).folder).toBe(outside);
    expect([await registry.has('broken'), await registry.has('nobody')]).toEqual([true, false]);
    expect(await registry.unregister('gpt2')).toBe(true);
    await expect(registry.get('gpt2')).rejects.toMatchObject({ code: 'model_not_found' });
  });

  it('tells the nearest name, and takes no path for one', async () => {
    await run('dickens');
    await expect(registry.get('dikens')).rejects.toMatchObject({
      code: 'model_not_found',
      hint: 'did you mean dickens?',
      details: { param: 'model' },
    });
    await expect(registry.get('../runs/dickens')).rejects.toMatchObject({ code: 'model_not_found' });
  });

  it.each(['', '../up', 'a b', '-x', 'a/../b'])('refuses to register the name %j', async (id) => {
    await expect(registry.register(id, await run('a'))).rejects.toMatchObject({ code: 'name_invalid' });
  });

  it('refuses names that are taken and folders that hold no model', async () => {
    const folder = await run('a');
    await expect(registry.register('a', folder)).rejects.toMatchObject({ code: 'model_exists' });
    await expect(registry.register('b', home)).rejects.toMatchObject({ code: 'model_missing' });
    await rm(path.join(folder, 'model.safetensors'));
    await expect(registry.register('b', folder)).rejects.toMatchObject({ code: 'model_missing' });
  });
});

describe('the pool', () => {
  it('starts one replica a model, however many ask at once', async () => {
    await run('a');
    const replicas = pool();
    const all = await Promise.all([1, 2, 3].map(() => replicas.get('a')));
    expect(new Set(all).size).toBe(1);
    expect(started).toHaveLength(1);
    expect([replicas.state('a'), replicas.state('b'), replicas.memory()]).toEqual(['ready', 'unloaded', 10]);
  });

  it('puts down the one that idled longest where there are too many, never one at work', async () => {
    for (const name of ['a', 'b', 'c']) await run(name);
    const replicas = pool(2);
    await replicas.get('a');
    await replicas.get('b');
    const [a, b] = started as [Idle, Idle];
    a.running = 1;
    await replicas.get('c');
    expect([a.state, b.state, replicas.state('c')]).toEqual(['ready', 'stopped', 'ready']);
    await replicas.drain();
    expect(replicas.memory()).toBe(0);
  });

  it('starts anew what failed, and what has newer weights', async () => {
    const folder = await run('a');
    const clock = new ManualClock();
    const replicas = pool(2, { clock });
    const first = await replicas.get('a');
    (started[0] as Idle).state = 'failed';
    const second = await replicas.get('a');
    expect(second).not.toBe(first);
    await utimes(path.join(folder, 'model.safetensors'), 1, 2e9);
    clock.advance(500);
    const third = await replicas.get('a');
    expect(third).not.toBe(second);
    expect((started[1] as Idle).state).toBe('stopped');
    await replicas.forget('a');
    expect(await replicas.get('a')).not.toBe(third);
    await expect(replicas.get('none')).rejects.toMatchObject({ code: 'model_not_found' });
  });

  it('looks at a model’s files once for the requests of a moment, and each time for what is not there', async () => {
    const folder = await run('a');
    const clock = new ManualClock();
    const replicas = pool(2, { clock });
    const find = vi.spyOn(registry, 'find');
    await Promise.all([1, 2, 3].map(() => replicas.get('a')));
    clock.advance(499);
    const first = await replicas.get('a');
    expect(find).toHaveBeenCalledTimes(1);
    clock.advance(1);
    expect(await replicas.get('a')).toBe(first);
    expect(find).toHaveBeenCalledTimes(2);
    // What was changed from here is seen at once.
    await utimes(path.join(folder, 'model.safetensors'), 1, 2e9);
    await replicas.forget('a');
    expect(await replicas.get('a')).not.toBe(first);
    await expect(replicas.get('b')).rejects.toMatchObject({ code: 'model_not_found' });
    await run('b');
    expect((await replicas.get('b')).model.id).toBe('b');
  });

  it('shares the memory: puts down who idles, refuses what does not fit beside who works', async () => {
    for (const name of ['a', 'b']) await run(name);
    const replicas = pool(9, { memoryBytes: 200 * 2 ** 20 });
    await replicas.get('a');
    const a = started[0] as Idle;
    a.memory = 180 * 2 ** 20;
    a.running = 1;
    await expect(replicas.get('b')).rejects.toMatchObject({
      code: 'memory_short',
      kind: 'resource',
      details: { retryAfter: 2 },
    });
    a.running = 0;
    await replicas.get('b');
    expect([a.state, replicas.state('b')]).toEqual(['stopped', 'ready']);
    expect(replicas.snapshot()).toMatchObject({ evicted: 1, refused: 1, models: { b: { wanted: 1 } } });
  });

  it('puts a model down that nobody asks for, and starts it again when somebody does', async () => {
    await run('a');
    const clock = new ManualClock();
    const replicas = pool(2, { idleAfter: 60_000, clock });
    await replicas.get('a');
    const a = started[0] as Idle;
    a.running = 1;
    clock.advance(100_000);
    expect(a.state).toBe('ready');
    a.running = 0;
    clock.advance(10_000);
    await replicas.get('a');
    clock.advance(59_000);
    expect(a.state).toBe('ready');
    clock.advance(20_000);
    expect([a.state, replicas.state('a'), replicas.snapshot().idled]).toEqual(['stopped', 'unloaded', 1]);
    await replicas.get('a');
    expect([started.length, replicas.state('a')]).toEqual([2, 'ready']);
    await replicas.stop();
  });

  it('says for a while that a model ends again and again, before it tries anew', async () => {
    await run('a');
    const clock = new ManualClock();
    const replicas = pool(2, { clock });
    const first = await replicas.get('a');
    const a = started[0] as Idle;
    a.state = 'failed';
    a.error = { code: 'replica_failed', message: 'ends again and again' };
    expect(await replicas.get('a')).toBe(first);
    clock.advance(29_000);
    expect(await replicas.get('a')).toBe(first);
    clock.advance(1_000);
    expect(await replicas.get('a')).not.toBe(first);
    expect(started).toHaveLength(2);
  });

  it('says which model is on its way', async () => {
    await run('a');
    const replicas = pool();
    await replicas.get('a');
    const a = started[0] as Idle;
    expect(replicas.loading()).toBeUndefined();
    a.state = 'starting';
    expect(replicas.loading()).toEqual({ id: 'a', state: 'starting', progress: 1 });
    await replicas.stop();
  });
});
