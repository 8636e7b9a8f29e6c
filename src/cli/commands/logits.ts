/** `inkstone logits`: the scores that a model gives after some tokens: to compare it with other software. */
import { InkstoneError } from '../../base/errors.ts';
import { z } from '../../base/schema.ts';
import { type HostTensor, tensor } from '../../base/tensor.ts';
import { type AnyTextConfig, isBert } from '../../models/text/any.ts';
import { textLogits } from '../../models/text/architectures.ts';
import { bertAnswers } from '../../models/text/bert-programs.ts';
import { describeTextModel, loadWeights } from '../../models/text/load.ts';
import { findModel } from '../../operate/registry.ts';
import { createBackend } from '../../runtime/index.ts';
import { command } from '../command.ts';

const schema = z.object({
  model: z
    .string()
    .min(1)
    .describe('a run folder, a model folder, a Hugging Face folder or a registered name'),
  ids: z
    .string()
    .regex(/^\s*\d+(\s*,\s*\d+)*\s*$/, 'must be token ids with commas between them, as 3,1,4')
    .describe('token ids, as 3,1,4')
    .meta({ environment: false }),
  threads: z.number().int().min(1).max(1024).optional().describe('compute threads; default: one per core'),
});

interface LogitsResult {
  model: string;
  architecture: string;
  tokens: number;
  /** Of the last position. */
  logits: number[];
}

/** @throws InkstoneError `token_invalid`, `prompt_too_long`, `head_missing` */
function check(config: AnyTextConfig, ids: readonly number[]): void {
  const wrong = ids.find((id) => id >= config.vocabulary);
  if (wrong !== undefined)
    throw new InkstoneError('token_invalid', `${wrong} is no token of this model`, {
      kind: 'usage',
      hint: `ids go from 0 to ${config.vocabulary - 1}`,
    });
  if (ids.length > config.context)
    throw new InkstoneError('prompt_too_long', `${ids.length} tokens do not fit the context`, {
      kind: 'usage',
      hint: `the model sees at most ${config.context} tokens`,
    });
  if (isBert(config) && !config.masked)
    throw new InkstoneError('head_missing', 'this BERT has no head that names tokens', {
      kind: 'unsupported',
      hint: 'take a checkpoint of BertForMaskedLM or BertForPreTraining',
    });
}

export const logitsCommand = command({
  name: 'logits',
  summary: 'the scores that a model gives after some tokens',
  description:
    'Float32 scores over the vocabulary at the last position; for a BERT those of its masked-token head. No tokenizer is needed.',
  schema,
  positionals: ['model'],
  examples: ['logits ./checkpoints/gpt2 --ids 3,1,4 --json'],
  async run({ model, ids: given, threads }): Promise<LogitsResult> {
    const { id, folder } = await findModel(model);
    const info = await describeTextModel(folder);
    const ids = given.split(',').map(Number);
    check(info.config, ids);
    const weights = await loadWeights(info);
    const backend = await createBackend('cpu', threads === undefined ? {} : { threads });
    try {
      const { config } = info;
      const program = isBert(config) ? bertAnswers(config) : textLogits(config);
      const executable = await backend.compile(program, { constants: weights });
      const shape = [1, ids.length];
      const tokens = tensor('i32', shape, Int32Array.from(ids));
      const more = isBert(config)
        ? {
            segments: tensor('i32', shape, new Int32Array(ids.length)),
            length: tensor('i32', [1], Int32Array.of(ids.length)),
          }
        : {};
      const { logits } = await executable.run({ inputs: { tokens, ...more }, fetch: ['logits'] });
      const last = (logits as HostTensor<'f32'>).data.subarray((ids.length - 1) * config.vocabulary);
      return {
        model: id,
        architecture: info.architecture,
        tokens: ids.length,
        // The shortest decimals that are the same float32.
        logits: Array.from(last, (value) => Number(value.toPrecision(9))),
      };
    } finally {
      await backend.close();
    }
  },
  show: ({ logits }) => logits.map((value, token) => `${token}\t${value}`).join('\n'),
});
