/** A model in its own process: answers, batches, stop strings, cancelling, crashes, orderly and hard ends. With the starter model. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SamplingSettings, TextEvent, TextToken } from '../base/contracts/generator.ts';
import { exists, isAlive, packageFolder, sendSignal } from '../base/host.ts';
import { describeTextModel } from '../models/text/load.ts';
import { ChildReplica } from './child-replica.ts';
import { describe as described } from './model-info.ts';

const folder = path.join(packageFolder, 'models', 'starter');
const starter = (await exists(path.join(folder, 'model.safetensors')))
  ? await describeTextModel(folder)
  : undefined;

const open: ChildReplica[] = [];
function start(from = folder): ChildReplica {
  const model = { ...described(starter as NonNullable<typeof starter>, 'starter') };
  const replica = new ChildReplica({ folder: from, model, maxBatch: 4 });
  open.push(replica);
  return replica;
}
afterAll(() => Promise.all(open.map((replica) => replica.stop())));

const sampling: SamplingSettings = { maxTokens: 24, temperature: 0.8, topK: 0, topP: 1, seed: 5, stop: [] };
let calls = 0;

async function say(
  replica: ChildReplica,
  more: Partial<SamplingSettings> = {},
  prompt = 'It was',
  signal = new AbortController().signal,
): Promise<{ text: string; tokens: TextToken[]; end: TextEvent | undefined; events: TextEvent[] }> {
  const events: TextEvent[] = [];
  const request = { id: `call-${calls++}`, prompt, sampling: { ...sampling, ...more } };
  for await (const event of replica.generate(request, signal)) events.push(event);
  const deltas = events.filter((event) => event.type === 'delta');
  return {
    text: deltas.map((event) => event.text).join(''),
    tokens: deltas.flatMap((event) => event.tokens),
    end: events.at(-1),
    events,
  };
}

const bytesOf = (tokens: readonly TextToken[]): string =>
  Buffer.from(tokens.flatMap((token) => token.bytes)).toString();

describe.skipIf(starter === undefined)('a replica in a child process (needs models/starter)', () => {
  let replica: ChildReplica;
  beforeAll(async () => {
    replica = start();
    expect(replica.status().state).toBe('starting');
    await expect(say(replica)).rejects.toMatchObject({ code: 'model_loading' });
    await replica.ready();
  });

  it('is ready and says what it is', () => {
    expect(replica.status()).toMatchObject({ state: 'ready', progress: 1, running: 0 });
    expect(replica.model).toMatchObject({ id: 'starter', family: 'text', context: starter?.config.context });
  });

  it('gives the same text for the same seed, alone or among others', async () => {
    const alone = await say(replica);
    expect(alone.events[0]).toMatchObject({
      type: 'start',
      promptTokens: await replica.countTokens('It was'),
    });
    expect(alone.end).toEqual({ type: 'end', reason: 'length', completionTokens: 24 });
    const together = await Promise.all(
      [{}, { seed: 6 }, { temperature: 0 }, { seed: 8, maxTokens: 3 }, { seed: 9 }, {}].map((more) =>
        say(replica, more, 'It was'),
      ),
    );
    expect(together[0]?.text).toBe(alone.text);
    expect(together[5]?.text).toBe(alone.text);
    expect(together[1]?.text).not.toBe(alone.text);
  });

  it('stops before a stop string and reports the tokens of what is shown', async () => {
    const whole = await say(replica, { logprobs: 2 });
    expect(bytesOf(whole.tokens)).toBe(whole.text);
    expect(whole.tokens.every((token) => token.logprob <= 0 && token.top.length === 2)).toBe(true);
    const stop = whole.text.slice(12, 16);
    const cut = await say(replica, { logprobs: 0, stop: [stop] });
    expect(cut.text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
    expect(cut.end).toMatchObject({ type: 'end', reason: 'stop' });
    expect(bytesOf(cut.tokens).startsWith(cut.text)).toBe(true);
    expect(cut.tokens.every((token) => token.top.length === 0)).toBe(true);
  });

  it('refuses what it cannot do, and goes on', async () => {
    await expect(say(replica, { topP: 0 })).rejects.toMatchObject({
      code: 'sampling_invalid',
      kind: 'usage',
    });
    expect((await say(replica, { maxTokens: 2 }, '')).end).toMatchObject({ completionTokens: 2 });
    expect(replica.status().running).toBe(0);
  });

  it('frees its slot at once when it is cancelled or its reader leaves', async () => {
    const abort = new AbortController();
    let ended: TextEvent | undefined;
    const request = { id: 'long', prompt: 'It', sampling: { ...sampling, maxTokens: 100_000 } };
    for await (const event of replica.generate(request, abort.signal)) {
      if (event.type === 'delta') abort.abort();
      ended = event;
    }
    expect(ended).toMatchObject({ type: 'end', reason: 'cancelled' });
    for await (const event of replica.generate(request, new AbortController().signal)) {
      if (event.type === 'delta') break;
    }
    expect(replica.status().running).toBe(0);
    // All slots are free again: as many as there are answer together.
    const answers = await Promise.all([1, 2, 3, 4].map((seed) => say(replica, { seed, maxTokens: 4 })));
    expect(answers.map(({ end }) => end?.type)).toEqual(['end', 'end', 'end', 'end']);
    await say(replica, {}, 'It', AbortSignal.abort()).then(({ end }) =>
      expect(end).toMatchObject({ reason: 'cancelled' }),
    );
  });

  it('tells the answers that a crash cost, and starts again', async () => {
    const before = replica.processId as number;
    const lost = say(replica, { maxTokens: 100_000 });
    const caught = expect(lost).rejects.toMatchObject({ code: 'replica_crashed', kind: 'resource' });
    while (replica.status().running === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    sendSignal(before, 'SIGKILL');
    await caught;
    expect(replica.status().state).toBe('starting');
    await replica.ready();
    expect(replica.processId).not.toBe(before);
    expect((await say(replica, { maxTokens: 2 })).end).toMatchObject({ type: 'end' });
  });

  it('drains: finishes what runs, takes nothing new, ends its process', async () => {
    const id = replica.processId as number;
    const running = say(replica, { maxTokens: 60 });
    while (replica.status().running === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const drained = replica.drain();
    await expect(say(replica)).rejects.toMatchObject({ code: 'replica_stopped' });
    expect((await running).end).toMatchObject({ type: 'end' });
    await drained;
    expect(replica.status().state).toBe('stopped');
    expect(isAlive(id)).toBe(false);
    await expect(replica.ready()).rejects.toMatchObject({ code: 'replica_stopped' });
    await replica.stop();
  });

  it('says why a model cannot be opened', async () => {
    const home = await mkdtemp(path.join(tmpdir(), 'inkstone-replica-'));
    const broken = path.join(home, 'broken');
    await mkdir(broken);
    await writeFile(path.join(broken, 'config.json'), '{"family":"text"}');
    const failed = start(broken);
    await expect(failed.ready()).rejects.toMatchObject({ code: 'model_invalid' });
    expect(failed.status()).toMatchObject({ state: 'failed', error: { code: 'model_invalid' } });
    await expect(failed.ready()).rejects.toMatchObject({ code: 'model_invalid' });
    await failed.drain();
    await rm(home, { recursive: true, force: true });
  });
});
