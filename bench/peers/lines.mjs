/**
 * What the JavaScript peers share: JSON lines on stdin and stdout (../protocol.ts has the messages), and
 * our initial parameters and batches as arrays. Runs outside the package: imports nothing of it.
 */
import { readFileSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** `work` makes what `prepare` asks for: `work[call.work](call) → { run(count), free() }`. */
export async function serve(describe, work) {
  const prepared = new Map();
  const answers = {
    describe,
    async prepare(call) {
      if (work[call.work] === undefined) throw new Error(`this peer does not do ${call.work}`);
      prepared.set(call.name, await work[call.work](call));
      return {};
    },
    memory: () => ({ peak: process.resourceUsage().maxRSS * 1024 }),
    run: (call) => prepared.get(call.name).run(call.count),
    async free(call) {
      await prepared.get(call.name)?.free();
      prepared.delete(call.name);
      return {};
    },
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const call = JSON.parse(line);
    let answer;
    try {
      answer = { id: call.id, value: await answers[call.do](call) };
    } catch (error) {
      answer = { id: call.id, error: String(error?.message ?? error) };
    }
    writeSync(1, `${JSON.stringify(answer)}\n`);
  }
  process.exit(0);
}

function bytes(file) {
  const { buffer, byteOffset, byteLength } = readFileSync(file);
  return buffer.slice(byteOffset, byteOffset + byteLength);
}

/** `[{ name, shape, data }]` */
export function readParameters({ file, tensors }) {
  const flat = new Float32Array(bytes(file));
  let at = 0;
  return tensors.map(({ name, shape }) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const data = flat.slice(at, at + size);
    at += size;
    return { name, shape, data };
  });
}

/** `index → { tokens, targets }`, each an Int32Array of batch × time; starts again after the last. */
export function readBatches({ batches, batch, time }) {
  const flat = new Int32Array(bytes(batches.file));
  const size = batch * time;
  return (index) => {
    const at = (index % batches.count) * 2 * size;
    return { tokens: flat.slice(at, at + size), targets: flat.slice(at + size, at + 2 * size) };
  };
}

/** Runs `step()` (a promise of the loss) `count` times and times each. */
export async function timed(count, step) {
  const seconds = [];
  const losses = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    losses.push(await step());
    seconds.push((performance.now() - start) / 1000);
  }
  return { seconds, losses };
}

/** AdamW's scalars at a step that counts from 0 (Kingma and Ba 2015, alg. 1). */
export function corrections({ beta1, beta2 }, step) {
  return { first: 1 - beta1 ** (step + 1), second: 1 - beta2 ** (step + 1) };
}
