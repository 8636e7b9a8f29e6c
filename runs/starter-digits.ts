/**
 * The starter model of pictures: from a finished run of `inkstone train image --preset mnist-cgan` to the folder that ships,
 * scored as docs/protocol-image.md has it, with a card and a sheet of samples.
 *
 *   node bin/inkstone.mjs train image --preset mnist-cgan --data ../shared/data/image --out runs-out/digits
 *   node tools/run.mjs runs/starter-digits.ts ../shared/data/image runs-out/digits [MODEL]
 *
 * MODEL is models/starter-digits by default.
 */
import { commandArguments, makeFolder, readText, writeError, writeFile } from '../src/base/host.ts';
import { scoreFolder } from '../src/cli/evaluate-image.ts';
import { featureNetwork } from '../src/cli/image-features.ts';
import { prepareImages } from '../src/data/image/prepare.ts';
import { writeSafetensors } from '../src/formats/safetensors.ts';
import { pictureMaker } from '../src/generate/image/any.ts';
import { encodeSheet } from '../src/generate/image/encode.ts';
import { loadImageModel } from '../src/models/image/load.ts';
import { createBackend } from '../src/runtime/index.ts';
import type { ImageRunConfig } from '../src/train/image-run.ts';

const [pictures = '../shared/data/image', run = 'runs-out/digits', folder = 'models/starter-digits'] =
  commandArguments();
const config = JSON.parse(await readText(`${run}/config.json`)) as ImageRunConfig;
const trained = JSON.parse(await readText(`${run}/result.json`)) as { steps: number; seconds: number };
const { weights, parameters, classes } = await loadImageModel(run);
await makeFolder(folder);
await writeFile(`${folder}/model.safetensors`, writeSafetensors(weights));
const { model, training, data, created, provenance } = config;
await writeFile(
  `${folder}/config.json`,
  `${JSON.stringify({ family: 'image', architecture: config.architecture, model, created, data: { classes }, training }, null, 2)}\n`,
);

const backend = await createBackend('cpu');
const maker = pictureMaker(model, backend, weights);
const labels = Array.from({ length: 60 }, (_, i) => i % 10);
const drawn = await maker.make({ seeds: labels.map((_, i) => i), labels });
await writeFile(`${folder}/sheet.png`, await encodeSheet(drawn, { columns: 10 }));
await maker.close();

const set = await prepareImages(pictures, {
  folder: `${run}/data`,
  size: model.size,
  channels: 1,
  fit: 'contain',
});
const network = await featureNetwork(undefined, pictures, model, backend);
const result = await scoreFolder(
  { data: pictures, work: `${run}/data`, folder: run, set, network, backend },
  { samples: 10_000, note: (what) => writeError(`${what}\n`) },
);
await network.close();
await set.close();
await backend.close();

const shown = (name: string, digits = 3): string => Number(result[name]).toFixed(digits);
await writeFile(
  `${folder}/card.md`,
  `# Starter: digits

A generator of handwritten digits that ships with Inkstone: ask for a digit, or for none, and it draws one. It knows nothing else.

| | |
|---|---|
| Architecture | conditional GAN, ${model.size} × ${model.size}, projection of the label in the critic, R1, averaged generator |
| Parameters | ${parameters.toLocaleString('en')} (of the generator) |
| Data | MNIST, ${data.count.toLocaleString('en')} training pictures (repackaged from an MIT-licensed repository) |
| SHA-256 of pixels and labels | \`${data.fingerprint}\` |
| Training | ${trained.steps} steps of ${training.batch} pictures, seed ${training.seed}, ${Math.round(trained.seconds / 60)} minutes on two shared CPU cores |
| Command | \`inkstone train image --preset ${config.preset}\`, then \`node tools/run.mjs runs/starter-digits.ts\` |
| Code | ${String(provenance.version ?? 'unknown')} |

## Scores (docs/protocol-image.md)

Of ${result.samples} samples against the 10,000 test pictures, on the features of the fixed LeNet; not to be compared with scores on Inception features.

| | this model | real against real |
|---|---|---|
| FID (lower is better) | **${shown('fid_lenet', 2)}** | ${shown('fid_floor_lenet', 2)} |
| KID | ${shown('kid_lenet', 4)} | ${shown('kid_floor_lenet', 4)} |
| Inception score | ${shown('is_lenet', 2)} | ${shown('is_floor_lenet', 2)} |
| Precision, recall | ${shown('precision_lenet')}, ${shown('recall_lenet')} | ${shown('precision_floor_lenet')}, ${shown('recall_floor_lenet')} |
| Asked for a digit, it is that digit (another classifier's word) | ${shown('class_accuracy', 4)} | ${shown('judge_accuracy', 4)} |

\`sheet.png\`: seeds 0 to 59, each column a digit.
`,
);
writeError(`${folder}: ${parameters} parameters, FID ${shown('fid_lenet', 2)}\n`);
