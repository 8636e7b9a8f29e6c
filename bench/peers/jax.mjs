/**
 * jax-js (wasm backend) as a peer: the same GPT-2 training step as one jitted function. Arrays are
 * reference-counted: `.ref` keeps one for a later use. Node has no web Worker, so one is made of
 * worker_threads; without it jax-js would compute on one thread.
 */
import { resolveObjectURL } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Worker as NodeWorker } from 'node:worker_threads';
import { corrections, readBatches, readParameters, serve, timed } from './lines.mjs';

const threads = Number(process.env.INKSTONE_THREADS ?? 2);

/** As much of the web's Worker as jax-js uses. */
class WebWorker {
  #thread;
  onmessage = null;
  onerror = null;

  constructor(url) {
    const prelude =
      "const { parentPort } = require('node:worker_threads'); globalThis.self = globalThis;" +
      'globalThis.postMessage = (value) => parentPort.postMessage(value);' +
      "parentPort.on('message', (data) => self.onmessage({ data }));";
    this.#thread = resolveObjectURL(url)
      .text()
      .then((source) => {
        const thread = new NodeWorker(`${prelude}\n${source}`, { eval: true });
        thread.on('message', (data) => this.onmessage?.({ data }));
        thread.on('error', (error) => this.onerror?.(error));
        return thread;
      });
  }

  postMessage(value) {
    this.#thread.then((thread) => thread.postMessage(value));
  }
}
globalThis.Worker ??= WebWorker;
Object.defineProperty(globalThis, 'navigator', {
  value: { hardwareConcurrency: threads },
  configurable: true,
});

const { blockUntilReady, init, jit, nn, numpy: np, valueAndGrad } = await import('@jax-js/jax');
await init('wasm');

function layerNorm(x, weight) {
  return nn.standardize(x, -1, { epsilon: 1e-5 }).mul(weight);
}

/** Consumes `p` and the token arrays. */
function lossOf({ layers, heads, width, vocabulary }, batch, time) {
  const dim = width / heads;
  const mask = np.triu(np.full([time, time], -1e9), 1);
  const split = (x) => np.transpose(x.reshape([batch, time, heads, dim]), [0, 2, 1, 3]);
  return (p, tokens, targets) => {
    const embedded = np
      .matmul(nn.oneHot(tokens, vocabulary), p['wte.weight'].ref)
      .reshape([batch, time, width]);
    let x = embedded.add(p['wpe.weight'].slice([0, time])).reshape([batch * time, width]);
    for (let layer = 0; layer < layers; layer++) {
      const at = (name) => p[`h.${layer}.${name}.weight`];
      const joined = np.matmul(layerNorm(x.ref, at('ln_1')), at('attn.c_attn'));
      const [q, k, v] = np.split(joined, 3, 1).map(split);
      const scores = np
        .matmul(q, np.transpose(k, [0, 1, 3, 2]))
        .mul(1 / Math.sqrt(dim))
        .add(mask.ref);
      const mixed = np.transpose(np.matmul(nn.softmax(scores, -1), v), [0, 2, 1, 3]);
      x = x.add(np.matmul(mixed.reshape([batch * time, width]), at('attn.c_proj')));
      const wide = nn.gelu(np.matmul(layerNorm(x.ref, at('ln_2')), at('mlp.c_fc')), { approximate: true });
      x = x.add(np.matmul(wide, at('mlp.c_proj')));
    }
    const logits = np.matmul(layerNorm(x, p['ln_f.weight']), np.transpose(p['wte.weight']));
    return nn
      .logSoftmax(logits, -1)
      .mul(nn.oneHot(targets, vocabulary))
      .sum()
      .mul(-1 / (batch * time));
  };
}

/** One step: `(parameters, first and second moments, tokens, targets, corrections) → the same, next`. */
function stepOf(call) {
  const { model, batch, time, optimiser } = call;
  const loss = valueAndGrad(lossOf(model, batch, time));
  return jit((p, m, v, tokens, targets, first, second) => {
    const names = Object.keys(p);
    const kept = Object.fromEntries(names.map((name) => [name, p[name].ref]));
    const [value, grads] = loss(kept, tokens, targets);
    let scale = null;
    if (optimiser.clip !== undefined) {
      const squares = names.map((name) => np.square(grads[name].ref).sum()).reduce((a, b) => a.add(b));
      scale = np.minimum(1, np.reciprocal(np.sqrt(squares).add(1e-6)).mul(optimiser.clip));
    }
    const next = { p: {}, m: {}, v: {} };
    for (const name of names) {
      const decay = p[name].ndim >= 2 ? 1 - optimiser.rate * optimiser.weightDecay : 1;
      const g = scale === null ? grads[name] : grads[name].mul(scale.ref);
      const one = m[name].mul(optimiser.beta1).add(g.ref.mul(1 - optimiser.beta1));
      const two = v[name].mul(optimiser.beta2).add(np.square(g).mul(1 - optimiser.beta2));
      next.m[name] = one.ref;
      next.v[name] = two.ref;
      const size = np.sqrt(two.div(second.ref)).add(optimiser.epsilon);
      next.p[name] = p[name].mul(decay).sub(one.div(first.ref).div(size).mul(optimiser.rate));
    }
    scale?.dispose();
    first.dispose();
    second.dispose();
    return { loss: value, ...next };
  });
}

function training(call) {
  const next = readBatches(call);
  let p = {};
  let m = {};
  let v = {};
  for (const { name, shape, data } of readParameters(call.parameters)) {
    p[name] = np.array(data).reshape(shape);
    m[name] = np.zeros(shape);
    v[name] = np.zeros(shape);
  }
  const step = stepOf(call);
  let at = 0;

  async function once() {
    const { tokens, targets } = next(at);
    const { first, second } = corrections(call.optimiser, at);
    at += 1;
    const ids = (values) => np.array(values, { dtype: np.int32 });
    const made = step(p, m, v, ids(tokens), ids(targets), np.array(first), np.array(second));
    p = made.p;
    m = made.m;
    v = made.v;
    await blockUntilReady([p, m, v]);
    const [loss] = await made.loss.data();
    return loss;
  }

  return {
    run: (count) => timed(count, once),
    free() {
      for (const tree of [p, m, v]) for (const value of Object.values(tree)) value.dispose();
      step.dispose?.();
    },
  };
}

function product({ shape: [m, k, n] }) {
  const fill = (rows, columns) =>
    np.array(Float32Array.from({ length: rows * columns }, Math.random)).reshape([rows, columns]);
  const a = fill(m, k);
  const b = fill(k, n);
  const multiply = jit((x, y) => np.matmul(x, y));
  return {
    run: (count) =>
      timed(count, async () => {
        const c = multiply(a.ref, b.ref);
        await c.blockUntilReady();
        c.dispose();
        return 0;
      }),
    free() {
      a.dispose();
      b.dispose();
    },
  };
}

const folder = path.join(path.dirname(createRequire(import.meta.url).resolve('@jax-js/jax')), '..');
const { version } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
await serve(() => ({ name: 'jax-js (wasm)', version, threads, facts: {} }), {
  'train-text': training,
  gemm: product,
});
