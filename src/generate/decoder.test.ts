/** Decoding a real, tiny GPT-2: with the cache as without it, alone as in a batch. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HostTensors, tensor } from '../base/tensor.ts';
import { decodingOf, type Gpt2Config, gpt2Parameters, textLogits } from '../models/index.ts';
import { initialise } from '../nn/index.ts';
import { type Backend, createBackend, type Executable } from '../runtime/index.ts';
import { createDecoder, type DecodeRequest, type Decoder } from './index.ts';

const config: Gpt2Config = { layers: 2, heads: 2, width: 16, context: 24, vocabulary: 11, bias: true };
const greedy = { temperature: 0, topK: 0, topP: 1, seed: 1 };

describe('the decoder', () => {
  let backend: Backend;
  let decoder: Decoder;
  let logits: Executable;
  let parameters: HostTensors;

  beforeAll(async () => {
    backend = await createBackend('cpu', { inline: true });
    parameters = Object.fromEntries(
      Object.entries(initialise(gpt2Parameters(config), 3)).map(([name, t]) => [
        name,
        // Larger than a fresh model's, so that tokens differ.
        { ...t, data: (t.data as Float32Array).map((v) => v * 8) },
      ]),
    );
    decoder = await createDecoder({ backend, ...decodingOf(config), parameters }, { maxBatch: 4 });
    logits = await backend.compile(textLogits(config), { constants: parameters });
  });

  afterAll(async () => {
    await decoder.close();
    await backend.close();
  });

  const run = (request: Partial<DecodeRequest> & { tokens: number[]; maxTokens: number }) =>
    decoder.submit({ ...greedy, ...request });

  it('gives the log-probabilities that the whole network gives (1e-4)', async () => {
    const prompt = [1, 2, 3];
    const seen: { id: number; logprob: number }[] = [];
    await run({
      tokens: prompt,
      maxTokens: 18,
      logprobs: 0,
      temperature: 1,
      onToken: (t) => seen.push(t) > 0,
    });
    const all = [...prompt, ...seen.map((t) => t.id)];
    const whole = await logits.run({ inputs: { tokens: tensor('i32', [1, all.length], all) } });
    const data = whole.logits?.data as Float32Array;
    seen.forEach(({ id, logprob }, i) => {
      const row = data.subarray((prompt.length + i - 1) * 11, (prompt.length + i) * 11);
      const norm = Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0));
      expect(Math.abs((row[id] as number) - norm - logprob)).toBeLessThan(1e-4);
    });
  });

  it('gives a sequence the same tokens alone and in a batch of others, past the end of the context', async () => {
    const requests = [[1], [2, 3, 4, 5, 6], [7, 8, 9], [10, 0], [5, 5]].map((tokens, i) => ({
      tokens,
      maxTokens: 10 + 9 * i,
      temperature: 1,
      seed: 40 + i,
    }));
    const together = await Promise.all(requests.map(run));
    for (const [i, request] of requests.entries())
      expect((await run(request)).tokens).toEqual(together[i]?.tokens);
    expect(together.map((r) => r.tokens.length)).toEqual([10, 19, 28, 37, 46]);
  });

  it('lets a sequence go when it is told, and when it is cancelled', async () => {
    const stopped = await run({ tokens: [1], maxTokens: 50, onToken: () => false });
    expect(stopped).toMatchObject({ reason: 'stop' });
    expect(stopped.tokens).toHaveLength(1);
    const abort = new AbortController();
    const cancelled = run({
      tokens: [1],
      maxTokens: 500,
      signal: abort.signal,
      onToken: () => {
        abort.abort();
        return true;
      },
    });
    expect((await cancelled).reason).toBe('cancelled');
    expect(decoder.status()).toMatchObject({ running: 0, waiting: 0 });
  });

  it('refuses what it cannot decode', async () => {
    expect(() => run({ tokens: [], maxTokens: 1 })).toThrow(/no tokens/);
    expect(() => run({ tokens: [11], maxTokens: 1 })).toThrow(/no token of this model/);
    expect(() => run({ tokens: [1], maxTokens: 1, topP: 0 })).toThrow(/top-p/);
    await expect(
      run({ tokens: [1], maxTokens: 1, processors: [(l) => l.fill(Number.NaN)] }),
    ).rejects.toMatchObject({
      code: 'logits_invalid',
    });
  });
});
