/**
 * A GPT from nothing: define it, train it, let it write, export it. Through the package's public exports.
 *
 *   node tools/run.mjs examples/01-train-a-gpt.ts [TEXT.txt]
 */
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createBackend } from 'inkstone';
import { loadTextModel, type TextPreset, textLogits } from 'inkstone/models';
import { TextGenerator } from 'inkstone/operate';
import { lower } from 'inkstone/program';
import { trainText } from 'inkstone/train';

const folder = await mkdtemp(path.join(tmpdir(), 'inkstone-example-'));
const own = path.join(folder, 'text.txt');
const line = 'The brush is dipped, the ink is ground, the page is still without a sound.\n';
const data = process.argv[2] ?? own;
if (data === own) await writeFile(own, line.repeat(200));

// A model and how it learns: two layers of GPT-2 over characters.
const preset: TextPreset = {
  id: 'example',
  title: 'Example',
  description: 'Two layers, 64 wide.',
  architecture: 'gpt2',
  tokenizer: { name: 'characters' },
  model: { layers: 2, heads: 2, width: 64, context: 32, bias: false },
  training: {
    steps: 150,
    batch: 8,
    context: 32,
    learningRate: 3e-3,
    optimiser: { name: 'adamw' },
    schedule: { name: 'cosine', warmup: 10 },
    evaluateEvery: 50,
  },
};

// Every step is one ONNX graph: forward, backward and optimiser.
const backend = await createBackend('cpu');
const run = path.join(folder, 'run');
const result = await trainText({ preset, data, out: run, backend });
console.log(`${result.parameters} parameters, ${result.validationLoss.toFixed(3)} ${result.unit}`);

// Let it go on from how its text begins: it knows no other characters.
const gpt = await TextGenerator.open(run, backend);
const sampling = { maxTokens: 80, temperature: 0.7, topK: 0, topP: 0.95, seed: 1, stop: ['\n'] };
let text = /\S.{0,8}/u.exec(await readFile(data, 'utf8'))?.[0] ?? '';
for await (const event of gpt.generate({ id: 'example', prompt: text, sampling })) {
  if (event.type === 'delta') text += event.text;
}
console.log(text);

// Export it as a file that any ONNX runtime runs.
const { config, weights } = await loadTextModel(run);
await writeFile(`${run}/gpt.onnx`, lower(textLogits(config), { constants: weights, portable: true }));
console.log(`exported ${run}/gpt.onnx`);
await backend.close();
