/**
 * The starter model, from novels to the folder that ships: corpus by docs/protocol-text.md, training, half
 * precision, the one look at the test books, the 5-gram beside it, the model card.
 *
 *   node tools/run.mjs runs/starter.ts ../shared/data/text/novels.tar.gz [RUN] [MODEL]
 *
 * RUN (default runs-out/starter) is resumed where it stands; MODEL is models/starter by default.
 */
import { createHash } from 'node:crypto';
import {
  commandArguments,
  exists,
  makeFolder,
  readBytes,
  readText,
  writeError,
  writeFile,
} from '../src/base/host.ts';
import { codeVersion } from '../src/base/version.ts';
import { evaluationBatches } from '../src/data/text/batches.ts';
import { readPieces } from '../src/data/text/pieces.ts';
import { prepareText } from '../src/data/text/prepare.ts';
import { readTokenizer } from '../src/data/tokenizer/read.ts';
import { WittenBell } from '../src/evaluate/ngram.ts';
import { floatsToHalves, halvesToFloats } from '../src/formats/float16.ts';
import { readSafetensors, writeSafetensors } from '../src/formats/safetensors.ts';
import { textPreset } from '../src/models/text/presets.ts';
import { createTextTrainable } from '../src/models/text/trainable.ts';
import { trainingConfig } from '../src/nn/training-config.ts';
import { TextGenerator } from '../src/operate/text-generator.ts';
import { createBackend } from '../src/runtime/index.ts';
import { type TextRunConfig, trainText } from '../src/train/text-run.ts';

const [novels = '../shared/data/text/novels.tar.gz', run = 'runs-out/starter', model = 'models/starter'] =
  commandArguments();
const say = (text: string): void => writeError(`${text}\n`);

const books = await readBooks(novels);
const archiveHash = createHash('sha256')
  .update(await readBytes(novels))
  .digest('hex');
const corpus = `${run}-corpus.txt`;
await makeFolder(run);
await writeFile(corpus, books.train + books.validation);
const count = (text: string): number => [...text].length;
const validation = count(books.validation) / (count(books.train) + count(books.validation));
const backend = await createBackend('cpu');
const preset = textPreset('starter');

const result = await trainText({
  preset,
  data: corpus,
  out: run,
  backend,
  validation,
  training: { checkpointEvery: 100 },
  resume: await exists(`${run}/config.json`),
  provenance: { code: await codeVersion(), command: 'node tools/run.mjs runs/starter.ts' },
  report: ({ step, steps, loss, validationLoss, remaining }) => {
    if (step % 20 === 0)
      say(
        `step ${step}/${steps}  loss ${loss.toFixed(3)}  validation ${validationLoss?.toFixed(4) ?? '-'}  ${Math.round(remaining)} s left`,
      );
  },
});

await makeFolder(model);
const config = JSON.parse(await readText(`${run}/config.json`)) as TextRunConfig;
const { tensors } = readSafetensors(await readBytes(`${run}/checkpoints/best.safetensors`));
const halves = Object.fromEntries(
  Object.entries(tensors).map(([name, t]) => [
    name,
    { dtype: 'f16' as const, shape: t.shape, data: floatsToHalves(t.data as Float32Array) },
  ]),
);
await writeFile(`${model}/model.safetensors`, writeSafetensors(halves, { format: 'pt' }));
await writeFile(
  `${model}/tokenizer.json`,
  JSON.stringify(JSON.parse(await readText(`${run}/tokenizer.json`))),
);
await writeFile(
  `${model}/config.json`,
  `${JSON.stringify({ family: 'text', architecture: 'gpt2', model: config.model, created: config.created, training: config.training }, null, 2)}\n`,
);

say('scoring the test books');
const generator = await TextGenerator.open(model, backend);
const testLoss = await score(books.test);
const reference = new WittenBell(5, books.everything);
reference.train(books.train);
const [ngramTest, ngramValidation] = [reference.score(books.test), reference.score(books.validation)];
const sample = await generate('It was a dark and stormy night', 7);
await generator.close();
await backend.close();
await writeFile(`${model}/card.md`, card());
say(
  `test ${testLoss.toFixed(4)} nats per character, 5-gram ${ngramTest.toFixed(4)}, ahead by ${(ngramTest - testLoss).toFixed(4)}`,
);

interface Books {
  train: string;
  validation: string;
  test: string;
  everything: Set<string>;
  names: string[];
  testNames: string[];
}

async function readBooks(path: string): Promise<Books> {
  const texts = new Map<string, string>();
  for await (const piece of readPieces(path))
    texts.set(piece.source, (texts.get(piece.source) ?? '') + piece.text);
  const names = [...texts.keys()].sort();
  const everything = new Set<string>();
  const parts: Books = { train: '', validation: '', test: '', everything, names, testNames: [] };
  names.forEach((name, i) => {
    const characters = [...(texts.get(name) as string).replaceAll('\r\n', '\n')];
    for (const c of characters) everything.add(c);
    if (i % 8 === 7) {
      parts.test += characters.join('');
      parts.testNames.push(name);
      return;
    }
    const cut = Math.floor(characters.length * 0.98);
    parts.train += characters.slice(0, cut).join('');
    parts.validation += characters.slice(cut).join('');
  });
  return parts;
}

/** Nats per character with the parameters that ship. */
async function score(text: string): Promise<number> {
  const file = `${run}-test.txt`;
  await writeFile(file, text);
  const tokenizer = readTokenizer(await readText(`${model}/tokenizer.json`));
  const prepared = await prepareText(file, {
    folder: `${run}-test`,
    tokenizer: { name: 'given', tokenizer },
    validation: 1,
  });
  const { context } = config.model;
  const widened = readSafetensors(await readBytes(`${model}/model.safetensors`)).tensors;
  const parameters = Object.fromEntries(
    Object.entries(widened).map(([name, t]) => [
      name,
      { dtype: 'f32' as const, shape: t.shape, data: halvesToFloats(t.data as Uint16Array) },
    ]),
  );
  const trainable = await createTextTrainable({
    backend,
    model: config.model,
    training: trainingConfig.parse(config.training),
    evaluationBatch: 16,
    parameters,
  });
  let total = 0;
  for await (const batch of evaluationBatches(
    prepared.tokens,
    { start: 0, length: prepared.validationTokens },
    { batch: 16, context },
  ))
    total += (await trainable.evaluate(batch)).total;
  await trainable.close();
  await prepared.tokens.close();
  return total / prepared.validationCharacters;
}

async function generate(prompt: string, seed: number): Promise<string> {
  let text = prompt;
  const sampling = { maxTokens: 160, temperature: 0.8, topK: 0, topP: 0.95, seed, stop: [] };
  for await (const event of generator.generate({ id: 'card', prompt, sampling }))
    if (event.type === 'delta') text += event.text;
  return text;
}

function card(): string {
  const provenance = config.provenance as { code?: string };
  return `# Starter

A small language model of English prose that ships with Inkstone: it goes on from what you write, in the manner of the novels it read. It knows no facts, follows no instructions, and may repeat the prejudices of its time (1850 to 1940).

| | |
|---|---|
| Architecture | GPT-2: ${config.model.layers} layers, ${config.model.heads} heads, ${config.model.width} wide, context ${config.model.context} tokens, no biases |
| Parameters | ${config.parameters.toLocaleString('en')} (stored in half precision) |
| Tokenizer | byte-level BPE, ${config.model.vocabulary} tokens, trained on the same text |
| Data | ${books.names.length - books.testNames.length} English novels, 19th and early 20th century, ${config.data.characters.toLocaleString('en')} characters |
| Licence of the data | public domain |
| SHA-256 of the archive | \`${archiveHash}\` |
| SHA-256 of the corpus | \`${config.data.fingerprint}\` |
| Training | ${config.training.steps} steps of ${config.training.batch} × ${config.training.context} tokens, ${config.training.optimiser.name}, seed ${config.training.seed}, ${Math.round(result.seconds / 60)} minutes on two shared CPU cores |
| Command | \`node tools/run.mjs runs/starter.ts\` |
| Code | ${provenance.code ?? 'unknown'} |

## Scores (docs/protocol-text.md; nats per character, lower is better)

| | validation | test: ${books.testNames.length} held-out books |
|---|---|---|
| This model | ${result.bestValidationLoss.toFixed(4)} | **${testLoss.toFixed(4)}** |
| Witten–Bell 5-gram, same training text | ${ngramValidation.toFixed(4)} | ${ngramTest.toFixed(4)} |

The test books (${books.testNames.map((n) => n.split('/').at(-1)?.replace('.txt', '')).join(', ')}) were looked at once, with the files in this folder.

## Sample (seed 7, temperature 0.8, top-p 0.95)

> ${sample.replaceAll('\n', '\n> ')}
`;
}
