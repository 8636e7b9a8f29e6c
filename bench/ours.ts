/**
 * Our own side of a benchmark: a child process that answers the same messages as the peers and computes
 * through the package's own modules, as `inkstone train` and the model host do.
 */
import { InkstoneError, invariant } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';
import { type HostTensor, tensor, viewOf } from '../src/base/tensor.ts';
import { trainBpe, WordCounter } from '../src/data/tokenizer/bpe-train.ts';
import { readTokenizer } from '../src/data/tokenizer/read.ts';
import { createDecoder } from '../src/generate/index.ts';
import { textConfig } from '../src/models/text/architectures.ts';
import { servedText } from '../src/models/text/serving.ts';
import { createTextTrainable } from '../src/models/text/trainable.ts';
import { trainingConfig } from '../src/nn/training-config.ts';
import { matmul, sum, trace } from '../src/program/index.ts';
import { type Backend, createBackend } from '../src/runtime/index.ts';
import { makingPictures, trainingPictures } from './ours-images.ts';
import { type Prepared, readTensors, timed, type WorkOf } from './ours-parts.ts';
import type { Call, Description, Work } from './protocol.ts';

async function training(backend: Backend, work: WorkOf<'train-text'>): Promise<Prepared> {
  const { batch, time, optimiser } = work;
  const { rate, clip, ...adamw } = optimiser;
  const trainable = await createTextTrainable({
    backend,
    model: work.model,
    training: trainingConfig.parse({
      steps: 1_000_000,
      batch,
      context: time,
      learningRate: rate,
      optimiser: { name: 'adamw', ...adamw },
      schedule: { name: 'constant', warmup: 0 },
      clip: clip ?? 0,
    }),
    evaluationBatch: batch,
    parameters: await readTensors(work.parameters),
  });
  const flat = viewOf('i32', await host.readBytes(work.batches.file));
  const size = batch * time;
  let step = 0;
  const part = (at: number): HostTensor => tensor('i32', [batch, time], flat.slice(at, at + size));
  return {
    run: (count) =>
      timed(count, async () => {
        const at = (step % work.batches.count) * 2 * size;
        const { loss } = await trainable.step({ tokens: part(at), targets: part(at + size) }, step);
        step += 1;
        return loss;
      }),
    free: () => trainable.close(),
  };
}

async function product(backend: Backend, { shape: [m, k, n] }: WorkOf<'gemm'>): Promise<Prepared> {
  const random = (rows: number, columns: number): HostTensor =>
    tensor(
      'f32',
      [rows, columns],
      Float32Array.from({ length: rows * columns }, (_, i) => ((i * 7919) % 1009) / 1009),
    );
  const f32 = (...shape: number[]) => ({ dtype: 'f32' as const, shape });
  const program = trace('product', { a: f32(m, k), b: f32(k, n) }, ({ a, b }) => ({ c: matmul(a!, b!) }));
  const executable = await backend.compile(program);
  const kept = await backend.resident({
    a: random(m, k),
    b: random(k, n),
    c: tensor('f32', [m, n], new Float32Array(m * n)),
  });
  return {
    run: (count) =>
      timed(count, async () => {
        await executable.run({ resident: [kept], update: { c: 'c' } });
        return undefined;
      }),
    free: async () => {
      await executable.free();
      await kept.free();
    },
  };
}

async function bandwidth(backend: Backend, { kind, elements }: WorkOf<'bandwidth'>): Promise<Prepared> {
  if (kind !== 'read') throw new InkstoneError('work_unknown', `this side does not measure ${kind}`);
  const rows = 1024;
  const columns = Math.floor(elements / rows);
  const program = trace('read', { a: { dtype: 'f32', shape: [rows, columns] } }, ({ a }) => ({
    total: sum(a!, { axes: [1] }),
  }));
  const executable = await backend.compile(program);
  const kept = await backend.resident({
    a: tensor('f32', [rows, columns], new Float32Array(rows * columns).fill(1)),
  });
  return {
    run: (count) =>
      timed(count, async () => {
        await executable.run({ resident: [kept] });
        return undefined;
      }),
    free: async () => {
      await executable.free();
      await kept.free();
    },
  };
}

/** As the model host does it: sessions in the thread that samples, nothing else lives there. */
async function decoding(
  threads: number,
  { model, parameters, prompt, tokens }: WorkOf<'decode'>,
): Promise<Prepared> {
  const backend = await createBackend('cpu', { threads, inline: true });
  const decoder = await createDecoder(
    {
      backend,
      ...servedText(model, await readTensors(parameters)),
    },
    // The same prompts come again and again: nothing may be remembered of them.
    { maxBatch: prompt.length, prefixBytes: 0 },
  );
  const greedy = { temperature: 0, topK: 0, topP: 1, seed: 1, maxTokens: tokens };
  let first: number[] = [];
  return {
    run: async (count) => {
      const answer = await timed(count, async () => {
        const made = await Promise.all(prompt.map((one) => decoder.submit({ tokens: one, ...greedy })));
        first = made[0]?.tokens ?? [];
        return undefined;
      });
      return { ...answer, tokens: first };
    },
    free: async () => {
      await decoder.close();
      await backend.close();
    },
  };
}

/** As the model host does it, many streams at once. */
async function serving(threads: number, work: WorkOf<'serve'>): Promise<Prepared> {
  const backend = await createBackend('cpu', { threads, inline: true });
  const config = textConfig.parse(work.model);
  const served = servedText(config, await readTensors(work.parameters), work.format ?? 'float32');
  const decoder = await createDecoder(
    { backend, ...served },
    { maxBatch: work.slots, prefixBytes: 0, batching: work.batching },
  );
  let first: number[] = [];
  return {
    run: async (count) => {
      const waits: number[] = [];
      const answer = await timed(count, async () => {
        const ask = async ({ prompt, tokens }: (typeof work.streams)[number][number]): Promise<number[]> => {
          const start = host.monotonic();
          let begun = false;
          const made = await decoder.submit({
            ...{ tokens: prompt, maxTokens: tokens, temperature: 0, topK: 0, topP: 1, seed: 1 },
            onToken: () => {
              if (!begun) waits.push((host.monotonic() - start) / 1000);
              begun = true;
              return true;
            },
          });
          return made.tokens;
        };
        const made = await Promise.all(
          work.streams.map(async (requests) => {
            const answers: number[][] = [];
            for (const request of requests) answers.push(await ask(request));
            return answers;
          }),
        );
        first = made[0]?.[0] ?? [];
        return undefined;
      });
      return { ...answer, waits, tokens: first };
    },
    free: async () => {
      await decoder.close();
      await backend.close();
    },
  };
}

/** One core, as `inkstone tokenizer train` does it. */
async function tokenizing({ task, file, tokenizer, vocabulary }: WorkOf<'tokenizer'>): Promise<Prepared> {
  const texts = JSON.parse(await host.readText(file)) as string[];
  const json = await host.readText(tokenizer);
  let tokens: number[] = [];
  const learn = (): void => {
    const words = new WordCounter();
    for (const text of texts) words.add(text);
    tokens = [trainBpe(words.counts, vocabulary).vocabularySize];
  };
  const encode = (): void => {
    const fresh = readTokenizer(json);
    let total = 0;
    texts.forEach((text, i) => {
      const ids = fresh.encode(text);
      if (i === 0) tokens = ids.slice(0, 64);
      total += ids.length;
    });
    tokens.push(total);
  };
  return {
    run: async (count) => ({
      ...(await timed(count, async () => (task === 'train' ? learn() : encode()) as undefined)),
      tokens,
    }),
    free: async () => {},
  };
}

async function prepare(backend: Backend, work: Work, threads: number): Promise<Prepared> {
  switch (work.work) {
    case 'train-text':
      return training(backend, work);
    case 'gemm':
      return product(backend, work);
    case 'bandwidth':
      return bandwidth(backend, work);
    case 'decode':
      return decoding(threads, work);
    case 'serve':
      return serving(threads, work);
    case 'tokenizer':
      return tokenizing(work);
    case 'train-image':
      return trainingPictures(backend, work);
    case 'generate-image':
      return makingPictures(threads, work);
  }
}

/** Answers calls until its input ends. */
export async function serve(
  lines: AsyncIterable<string>,
  write: (text: string) => void,
  threads: number,
): Promise<void> {
  const backend = await createBackend('cpu', { threads });
  const prepared = new Map<string, Prepared>();
  const named = (name: string): Prepared => {
    const found = prepared.get(name);
    invariant(found !== undefined, `"${name}" was not prepared`);
    return found;
  };
  const answer = async (call: Call): Promise<unknown> => {
    switch (call.do) {
      case 'describe':
        return { name: 'Inkstone', version: backend.description, threads, facts: {} } satisfies Description;
      case 'prepare':
        prepared.set(call.name, await prepare(backend, call, threads));
        return {};
      case 'run':
        return named(call.name).run(call.count);
      case 'free':
        await named(call.name).free();
        prepared.delete(call.name);
        return {};
      case 'memory':
        return { peak: host.memoryUse().peak };
    }
  };
  for await (const line of lines) {
    const call = JSON.parse(line) as Call & { id: number };
    try {
      write(`${JSON.stringify({ id: call.id, value: await answer(call) })}\n`);
    } catch (thrown) {
      write(`${JSON.stringify({ id: call.id, error: InkstoneError.from(thrown).message })}\n`);
    }
  }
  await backend.close();
}
