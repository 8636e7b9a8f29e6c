/** `inkstone train chat`: a model goes on learning from conversations, and then answers turns. */
import path from 'node:path';
import { InkstoneError } from '../../../base/errors.ts';
import { bar, count, duration } from '../../../base/progress.ts';
import { z } from '../../../base/schema.ts';
import { codeVersion } from '../../../base/version.ts';
import { loadTextModel } from '../../../models/text/load.ts';
import { findModel } from '../../../operate/registry.ts';
import { createBackend } from '../../../runtime/index.ts';
import { trainInstructions } from '../../../train/instruct-run.ts';
import { command } from '../../command.ts';
import { commandLine } from '../../command-line.ts';
import { tunedFolder } from '../../free-folder.ts';
import { defined, startingModel } from '../../train-text-plan.ts';
import { traced } from '../../training-span.ts';

const own = { environment: false } as const;
const whole = z.number().int();

const schema = z.object({
  from: z
    .string()
    .min(1)
    .optional()
    .describe('the model to tune: a run folder, a model folder or a registered name')
    .meta(own),
  base: z.string().min(1).optional().describe('another name for --from').meta(own),
  data: z.string().min(1).describe('JSON lines with messages, as OpenAI’s fine-tuning takes them').meta(own),
  validation: z
    .string()
    .optional()
    .describe('JSON lines to judge by; default: the last tenth of the data')
    .meta(own),
  out: z
    .string()
    .optional()
    .describe('the run folder; default runs-out/chat-N with the next free number')
    .meta(own),
  epochs: z.number().gt(0).optional().describe('passes over the data; default 3').meta(own),
  steps: whole.min(1).optional().describe('optimiser steps, instead of --epochs').meta(own),
  batch: whole.min(1).optional().describe('rows a step').meta(own),
  learningRate: z.number().gt(0).optional().describe('default 3e-4, with --lora 2e-3').meta(own),
  lora: whole
    .min(1)
    .max(1024)
    .optional()
    .describe('rank of low-rank adapters; without it all weights learn')
    .meta(own),
  loraAlpha: z
    .number()
    .gt(0)
    .optional()
    .describe('strength of the adapters; default twice the rank')
    .meta(own),
  seed: whole.min(0).default(1).describe('of the order of the data').meta(own),
  threads: whole.min(1).max(1024).optional().describe('compute threads; default: one per core'),
  resume: z.boolean().default(false).describe('go on with the run in --out').meta(own),
  force: z.boolean().default(false).describe('replace the run in --out').meta(own),
});

export const trainChatCommand = command({
  name: 'train chat',
  summary: 'tune a text model on conversations',
  description:
    'Each line of the data is {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}, or ' +
    '{"prompt": "…", "completion": "…"}. Only what the assistant says is learned. Conversations are packed side by side and do not see each other.',
  schema,
  examples: [
    'train chat --from starter --data talks.jsonl',
    'train chat --from runs-out/first --data talks.jsonl --lora 8 --epochs 5 --out runs-out/talker',
  ],
  async run(settings, { progress, signal, json, span }) {
    const { data, lora } = settings;
    const from = startingModel(settings);
    if (from === undefined)
      throw new InkstoneError('invalid_input', '--from is required', {
        kind: 'usage',
        hint: 'name the model to tune',
      });
    const { folder } = await findModel(from);
    const out = await tunedFolder(settings.out, 'chat', folder);
    const model = await loadTextModel(folder);
    const backend = await createBackend('cpu', defined({ threads: settings.threads }));
    try {
      if (!json) progress.note(`tuning ${from} in ${out}`);
      const result = await trainInstructions({
        ...{ from: model, data, out, backend, signal, resume: settings.resume, force: settings.force },
        ...defined({ validation: settings.validation, epochs: settings.epochs }),
        training: defined({
          seed: settings.seed,
          steps: settings.steps,
          batch: settings.batch,
          learningRate: settings.learningRate,
        }),
        ...(lora === undefined ? {} : { lora: { rank: lora, alpha: settings.loraAlpha ?? 2 * lora } }),
        report: traced(span, ({ step, steps, loss, remaining }) =>
          progress.show(
            `${bar(step / steps)} step ${step}/${steps}  loss ${loss.toFixed(3)}  ${duration(remaining)} left`,
          ),
        ),
        provenance: {
          version: await codeVersion(),
          command: commandLine(),
          data: path.resolve(data),
          from: path.resolve(folder),
        },
      });
      return {
        val_loss: result.validationLoss,
        best_val_loss: result.bestValidationLoss,
        unit: result.unit,
        parameters: result.parameters,
        trained: result.trained,
        conversations: result.conversations,
        tokens: result.tokens,
        steps: result.steps,
        seconds: Number(result.seconds.toFixed(3)),
        state: result.state,
        out,
      };
    } finally {
      await backend.close();
    }
  },
  show: (result) =>
    [
      `${result.state === 'succeeded' ? 'done' : 'stopped'}: ${result.steps} steps in ${duration(result.seconds)}, ${count(result.trained)} of ${count(result.parameters)} parameters learned`,
      `validation loss ${result.val_loss.toFixed(4)} ${result.unit}`,
      `the model is in ${result.out}; try: inkstone generate ${result.out} --prompt "User: Hello\\n\\nAssistant:"`,
    ].join('\n'),
});
