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

/** `streams`: each one's requests, prompts as ids and how many tokens they are to get; `slots` are decoded together. */
async function serving({ gguf, context, slots, streams }) {
  const model = await llama.loadModel({ modelPath: gguf });
  const sequences = Math.min(slots, streams.length);
  let firstTokens = [];
  let opened;
  let free;
  let chosen = threads;

  async function open(count) {
    await opened?.dispose();
    opened = await model.createContext({ contextSize: context, sequences, threads: count, batchSize: 512 });
    free = Array.from({ length: sequences }, () => opened.getSequence());
    chosen = count;
  }

  /** Its threads wait for each other at every step: on a machine that does anything else fewer may be faster. */
  async function choose() {
    const few = streams.map(([first]) => [{ ...first, tokens: Math.min(24, first.tokens) }]);
    let best;
    for (const count of [...new Set([1, threads])]) {
      await open(count);
      await once(few.slice(0, sequences));
      const { seconds } = await once(few.slice(0, sequences));
      if (best === undefined || seconds < best.seconds) best = { count, seconds };
    }
    if (best.count !== chosen) await open(best.count);
  }

  async function once(streams) {
    const start = performance.now();
    const waits = [];
    const idle = [...free];
    const waiting = [];
    const take = () => (idle.length > 0 ? idle.pop() : new Promise((resolve) => waiting.push(resolve)));
    const give = (sequence) => {
      const next = waiting.shift();
      if (next === undefined) idle.push(sequence);
      else next(sequence);
    };
    const ask = async ({ prompt, tokens }) => {
      const asked = performance.now();
      const sequence = await take();
      await sequence.clearHistory();
      const made = [];
      for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
        if (made.length === 0) waits.push((performance.now() - asked) / 1000);
        made.push(token);
        if (made.length >= tokens) break;
      }
      give(sequence);
      return made;
    };
    await Promise.all(
      streams.map(async (requests, i) => {
        for (const [n, request] of requests.entries()) {
          const made = await ask(request);
          if (i === 0 && n === 0) firstTokens = made;
        }
      }),
    );
    return { seconds: (performance.now() - start) / 1000, waits };
  }

  await choose();
  return {
    async run(count) {
      const seconds = [];
      const waits = [];
      for (let i = 0; i < count; i++) {
        const one = await once(streams);
        seconds.push(one.seconds);
        waits.push(...one.waits);
      }
      return { seconds, waits, tokens: firstTokens, threads: chosen };
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
