/**
 * llama.cpp (through node-llama-cpp) as a peer: greedy streams over one context, batched by its own scheduler. Runs
 * outside the package: imports nothing of it.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { getLlama } from 'node-llama-cpp';
import { serve } from './lines.mjs';

const threads = Number(process.env.INKSTONE_THREADS ?? 2);
const llama = await getLlama({
  gpu: false,
  build: 'never',
  progressLogs: false,
  logLevel: 'error',
  maxThreads: threads,
});

/** `streams`: prompts as ids and how many tokens each is to get; `slots` are decoded together. */
async function serving({ gguf, context, slots, streams }) {
  const model = await llama.loadModel({ modelPath: gguf });
  const sequences = Math.min(slots, streams.length);
  const opened = await model.createContext({ contextSize: context, sequences, threads, batchSize: 512 });
  const free = Array.from({ length: sequences }, () => opened.getSequence());
  let firstTokens = [];

  async function once() {
    const start = performance.now();
    const waits = [];
    const queue = streams.map((stream, i) => ({ ...stream, i }));
    const work = async (sequence) => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        await sequence.clearHistory();
        const made = [];
        for await (const token of sequence.evaluate(next.prompt, { temperature: 0, yieldEogToken: true })) {
          if (made.length === 0) waits.push((performance.now() - start) / 1000);
          made.push(token);
          if (made.length >= next.tokens) break;
        }
        if (next.i === 0) firstTokens = made;
      }
    };
    await Promise.all(free.map(work));
    return { seconds: (performance.now() - start) / 1000, waits };
  }

  return {
    async run(count) {
      const seconds = [];
      const waits = [];
      for (let i = 0; i < count; i++) {
        const one = await once();
        seconds.push(one.seconds);
        waits.push(...one.waits);
      }
      return { seconds, waits, tokens: firstTokens };
    },
    async free() {
      await opened.dispose();
      await model.dispose();
    },
  };
}

const folder = path.dirname(createRequire(import.meta.url).resolve('node-llama-cpp'));
const { version } = JSON.parse(readFileSync(path.join(folder, '..', 'package.json'), 'utf8'));
await serve(() => ({ name: 'llama.cpp (node-llama-cpp)', version, threads, facts: {} }), { serve: serving });
