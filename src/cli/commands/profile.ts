/** `inkstone profile`: where the time of a training step goes, op by op. */

import { writeFile } from '../../base/host.ts';
import { Random } from '../../base/rng.ts';
import { z } from '../../base/schema.ts';
import { tensor } from '../../base/tensor.ts';
import { createTextTrainable, presetConfig, textPreset } from '../../models/index.ts';
import { trainingConfig } from '../../nn/index.ts';
import { createBackend } from '../../runtime/index.ts';
import { chromeTrace, profileRows, profileTable } from '../../runtime/profile-report.ts';
import { command } from '../command.ts';

const schema = z.object({
  preset: z.string().default('nanogpt-cpu').describe('text preset whose training step is measured'),
  steps: z.number().int().min(1).max(1000).default(10).describe('steps to measure'),
  threads: z.number().int().min(1).max(1024).optional().describe('compute threads; default: one per core'),
  trace: z.string().optional().describe('write a Chrome trace here (chrome://tracing, Perfetto)'),
});

/** Characters of the made-up text. */
const VOCABULARY = 65;

export default command({
  name: 'profile',
  summary: 'show where the time of a training step goes, op by op',
  description:
    'Runs training steps of a preset on made-up tokens and prints milliseconds and share of each op.',
  schema,
  examples: ['profile --preset nanogpt-cpu', 'profile --preset nanogpt-10m --steps 3 --trace step.json'],
  async run({ preset: id, steps, threads, trace }) {
    const preset = textPreset(id);
    const vocabulary = preset.tokenizer.name === 'bpe' ? preset.tokenizer.vocabulary : VOCABULARY;
    const training = trainingConfig.parse(preset.training);
    const backend = await createBackend('cpu', threads === undefined ? {} : { threads });
    const trainable = await createTextTrainable({
      backend,
      model: presetConfig(preset, vocabulary),
      training,
      evaluationBatch: 1,
      profile: true,
    });
    const shape = [training.batch * training.accumulation, training.context];
    for (let step = 0; step < steps; step++) {
      const random = new Random(1, 'profile', step);
      const ids = Int32Array.from({ length: (shape[0] as number) * (shape[1] as number) }, () =>
        random.integer(vocabulary),
      );
      await trainable.step({ tokens: tensor('i32', shape, ids), targets: tensor('i32', shape, ids) }, step);
    }
    const events = await trainable.stepExecutable.profile();
    const rows = profileRows(events, steps * training.accumulation);
    if (trace !== undefined) await writeFile(trace, chromeTrace(events));
    await trainable.close();
    await backend.close();
    return {
      preset: id,
      backend: backend.description,
      steps,
      ...(trace === undefined ? {} : { trace }),
      rows,
    };
  },
  show: ({ rows, trace }) => `${profileTable(rows)}${trace === undefined ? '' : `\ntrace: ${trace}`}`,
});
