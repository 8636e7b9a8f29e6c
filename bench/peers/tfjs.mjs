/**
 * TensorFlow.js (wasm backend) as a peer: the same GPT-2 training step in its own ops. Embeddings are one-hot
 * products, because the wasm backend has no segment sum and so no gradient for gather.
 */
import { createRequire } from 'node:module';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers'; // registers the gradients
import { getThreadsCount, setThreadsCount, setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { corrections, readBatches, readParameters, serve, timed } from './lines.mjs';

const require = createRequire(import.meta.url);
const threads = Number(process.env.INKSTONE_THREADS ?? 2);
setWasmPaths(
  `${path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm'))}/`,
);
setThreadsCount(threads);
await tf.setBackend('wasm');
await tf.ready();

function layerNorm(x, weight) {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const variance = tf.mean(tf.square(centred), -1, true);
  return tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, 1e-5))), weight);
}

function gelu(x) {
  const inner = tf.mul(tf.add(x, tf.mul(tf.mul(tf.mul(x, x), x), 0.044715)), Math.sqrt(2 / Math.PI));
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1));
}

function lossOf({ layers, heads, width }, p, tokens, targets, mask, batch, time) {
  const dim = width / heads;
  const vocabulary = p['wte.weight'].shape[0];
  const hot = (indices) => tf.cast(tf.oneHot(indices, vocabulary), 'float32');
  const split = (x) => tf.transpose(tf.reshape(x, [batch, time, heads, dim]), [0, 2, 1, 3]);
  const embedded = tf.reshape(tf.matMul(hot(tokens), p['wte.weight']), [batch, time, width]);
  let x = tf.reshape(tf.add(embedded, tf.slice(p['wpe.weight'], [0, 0], [time, width])), [
    batch * time,
    width,
  ]);
  for (let layer = 0; layer < layers; layer++) {
    const at = (name) => p[`h.${layer}.${name}.weight`];
    const [q, k, v] = tf.split(tf.matMul(layerNorm(x, at('ln_1')), at('attn.c_attn')), 3, 1).map(split);
    const scores = tf.add(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(dim)), mask);
    const mixed = tf.transpose(tf.matMul(tf.softmax(scores), v), [0, 2, 1, 3]);
    x = tf.add(x, tf.matMul(tf.reshape(mixed, [batch * time, width]), at('attn.c_proj')));
    x = tf.add(x, tf.matMul(gelu(tf.matMul(layerNorm(x, at('ln_2')), at('mlp.c_fc'))), at('mlp.c_proj')));
  }
  const logits = tf.matMul(layerNorm(x, p['ln_f.weight']), p['wte.weight'], false, true);
  return tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(logits), hot(targets)), -1)));
}

function training(call) {
  const { model, batch, time, optimiser } = call;
  const next = readBatches(call);
  const parameters = {};
  const state = {};
  for (const { name, shape, data } of readParameters(call.parameters)) {
    parameters[name] = tf.variable(tf.tensor(data, shape), true, name);
    state[name] = { m: tf.zeros(shape), v: tf.zeros(shape) };
  }
  const mask = tf.tidy(() => {
    const place = tf.range(0, time);
    return tf.where(
      tf.greater(tf.reshape(place, [1, time]), tf.reshape(place, [time, 1])),
      tf.scalar(-1e9),
      tf.scalar(0),
    );
  });
  let at = 0;

  async function step() {
    const { tokens, targets } = next(at);
    const { first, second } = corrections(optimiser, at);
    at += 1;
    const loss = tf.tidy(() => {
      const ids = tf.tensor1d(tokens, 'int32');
      const wanted = tf.tensor1d(targets, 'int32');
      const { value, grads } = tf.variableGrads(() =>
        lossOf(model, parameters, ids, wanted, mask, batch, time),
      );
      let scale = tf.scalar(1);
      if (optimiser.clip !== undefined) {
        const squares = tf.addN(Object.values(grads).map((g) => tf.sum(tf.square(g))));
        scale = tf.minimum(1, tf.div(optimiser.clip, tf.add(tf.sqrt(squares), 1e-6)));
      }
      for (const [name, given] of Object.entries(grads)) {
        const g = tf.mul(given, scale);
        const before = state[name];
        const m = tf.keep(tf.add(tf.mul(before.m, optimiser.beta1), tf.mul(g, 1 - optimiser.beta1)));
        const v = tf.keep(
          tf.add(tf.mul(before.v, optimiser.beta2), tf.mul(tf.square(g), 1 - optimiser.beta2)),
        );
        before.m.dispose();
        before.v.dispose();
        state[name] = { m, v };
        const update = tf.div(tf.div(m, first), tf.add(tf.sqrt(tf.div(v, second)), optimiser.epsilon));
        const decay = given.rank >= 2 ? 1 - optimiser.rate * optimiser.weightDecay : 1;
        parameters[name].assign(tf.sub(tf.mul(parameters[name], decay), tf.mul(update, optimiser.rate)));
      }
      return value;
    });
    const [value] = await loss.data();
    loss.dispose();
    return value;
  }

  return {
    run: (count) => timed(count, step),
    free() {
      for (const name of Object.keys(parameters)) {
        parameters[name].dispose();
        state[name].m.dispose();
        state[name].v.dispose();
      }
      mask.dispose();
    },
  };
}

function product({ shape: [m, k, n] }) {
  const a = tf.randomUniform([m, k]);
  const b = tf.randomUniform([k, n]);
  return {
    run: (count) =>
      timed(count, async () => {
        tf.matMul(a, b).dispose();
        return 0;
      }),
    free: () => tf.dispose([a, b]),
  };
}

await serve(
  () => ({
    name: 'TensorFlow.js (wasm)',
    version: tf.version_core,
    threads: getThreadsCount() > 0 ? getThreadsCount() : 1,
    facts: {
      simd: tf.env().getBool('WASM_HAS_SIMD_SUPPORT'),
      multithreaded: tf.env().getBool('WASM_HAS_MULTITHREAD_SUPPORT'),
    },
  }),
  { 'train-text': training, gemm: product },
);
