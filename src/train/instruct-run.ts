/**
 * Instruction tuning: a model goes on learning from conversations, by the loss of the answers only, whole or through
 * low-rank adapters. The result is a run folder like any other, with plain weights, that answers turns.
 */
import { createHash } from 'node:crypto';
import type { Trainable } from '../base/contracts/trainable.ts';
import { InkstoneError } from '../base/errors.ts';
import { exists, now, readText, removeFile } from '../base/host.ts';
import { read } from '../base/schema.ts';
import type { HostTensors } from '../base/tensor.ts';
import {
  encodeConversation,
  packConversations,
  packedBatch,
  readConversations,
  rowsOfStep,
} from '../data/text/instructions.ts';
import { requireKnown } from '../data/tokenizer/unknown.ts';
import {
  architectureOf,
  type TextConfig,
  textPackedLoss,
  textParameterCount,
} from '../models/text/architectures.ts';
import type { TextModel } from '../models/text/load.ts';
import { type LoraOptions, loraParameters, mergeLora, withLora } from '../nn/lora.ts';
import { initialise, parameterTypes } from '../nn/parameters.ts';
import type { LossProgram } from '../nn/train-step.ts';
import { createTrainable } from '../nn/trainable.ts';
import { type TrainingConfig, trainingConfig } from '../nn/training-config.ts';
import { maximum, mul, type Program, sum, type Tensor, trace } from '../program/index.ts';
import type { Backend } from '../runtime/contract.ts';
import { RunFolder } from './run-folder.ts';
import { type TrainOutcome, type TrainProgress, train } from './trainer.ts';

export interface InstructOptions {
  from: TextModel;
  /** JSON lines with messages. */
  data: string;
  /** Judged by; default: the last tenth of the conversations, where there are ten. */
  validation?: string;
  out: string;
  backend: Backend;
  /** Passes over the data; default 3. Not with `steps`. */
  epochs?: number;
  training?: Partial<TrainingConfig>;
  lora?: LoraOptions;
  resume?: boolean;
  force?: boolean;
  signal?: AbortSignal;
  report?(progress: TrainProgress): void;
  provenance?: Record<string, unknown>;
}

export interface InstructResult extends TrainOutcome {
  parameters: number;
  /** Those that learned. */
  trained: number;
  conversations: number;
  /** Tokens of one pass over the training part. */
  tokens: number;
  model: TextConfig;
  out: string;
  unit: 'nats per answer token';
}

/** Rows of a step where the caller does not say: enough for steady gradients, few enough for small data. */
const BATCH = 4;

/** @throws InkstoneError `json_line_invalid`, `data_empty`, `run_exists`, `config_differs` */
export async function trainInstructions(options: InstructOptions): Promise<InstructResult> {
  const { from } = options;
  const text = await readText(options.data);
  const { learning, judging, count, tokens } = await prepare(options, text);
  const training = settingsOf(options, learning.length);
  const folder = new RunFolder(options.out);
  const made = !(await exists(folder.path));
  await folder.open();
  const unlock = await folder.lock();
  try {
    const fingerprint = createHash('sha256').update(text).digest('hex');
    const before = await folder.readJson<{ data: { fingerprint: string } }>('config.json');
    if (before !== undefined && options.resume !== true && options.force !== true)
      throw new InkstoneError('run_exists', `${options.out} holds a run already`, {
        kind: 'conflict',
        hint: 'go on with it (--resume), replace it (--force), or choose another --out',
      });
    const resume = before !== undefined && options.resume === true;
    if (resume && before.data.fingerprint !== fingerprint)
      throw new InkstoneError('data_differs', `${options.data} is not the data this run was started with`, {
        kind: 'conflict',
        hint: 'give the same data, or start a new run',
      });
    if (!resume) {
      await folder.clear();
      await folder.writeJson('tokenizer.json', JSON.parse(from.tokenizer.toJson()));
      await folder.writeJson('config.json', {
        ...{ family: 'text', architecture: architectureOf(from.config).name, preset: 'chat', chat: true },
        ...{ model: from.config, training, lora: options.lora ?? null },
        tokenizer: { file: 'tokenizer.json', kind: from.tokenizer.kind },
        data: { fingerprint, conversations: count, tokens },
        parameters: textParameterCount(from.config),
        created: Math.floor(now() / 1000),
        provenance: options.provenance ?? {},
      });
    }
    const outcome = await run(options, folder, training, { learning, judging }, resume);
    const result: InstructResult = {
      ...outcome,
      parameters: textParameterCount(from.config),
      conversations: count,
      tokens,
      model: from.config,
      out: options.out,
      unit: 'nats per answer token',
    };
    await folder.writeJson('result.json', result);
    return result;
  } catch (thrown) {
    if (made && !(await folder.exists())) await removeFile(folder.path);
    throw thrown;
  } finally {
    await unlock();
  }
}

type Rows = ReturnType<typeof packConversations>;

async function prepare(
  { from, validation }: InstructOptions,
  text: string,
): Promise<{ learning: Rows; judging: Rows; count: number; tokens: number }> {
  const conversations = readConversations(text);
  requireKnown(
    conversations.flatMap((turns) => turns.map(({ content }) => content)),
    from.tokenizer,
    'the conversations',
  );
  const all = conversations.map((turns) => encodeConversation(turns, from.tokenizer));
  const kept = validation === undefined && all.length >= 10 ? Math.ceil(all.length / 10) : 0;
  const { context } = from.config;
  const learning = all.slice(0, all.length - kept);
  const judged =
    validation === undefined
      ? all.slice(all.length - kept)
      : readConversations(await readText(validation)).map((turns) =>
          encodeConversation(turns, from.tokenizer),
        );
  const rows = packConversations(learning, context);
  if (rows.length === 0)
    throw new InkstoneError('data_empty', 'no answer in the file has a token this model knows', {
      kind: 'data',
      hint: 'check the language of the data, or take a model with byte-level tokens',
    });
  return {
    learning: rows,
    // Too few to keep some apart: the loss is then that of what was learned.
    judging: judged.length === 0 ? rows : packConversations(judged, context),
    count: all.length,
    tokens: learning.reduce((total, one) => total + one.tokens.length, 0),
  };
}

function settingsOf({ from, training = {}, epochs, lora }: InstructOptions, rows: number): TrainingConfig {
  const batch = training.batch ?? Math.min(BATCH, rows);
  const steps = training.steps ?? Math.max(1, Math.ceil(((epochs ?? 3) * rows) / batch));
  return read(trainingConfig, {
    learningRate: lora === undefined ? 3e-4 : 2e-3,
    optimiser: { name: 'adamw', beta2: 0.99, weightDecay: lora === undefined ? 0.01 : 0 },
    schedule: { name: 'cosine', warmup: Math.min(20, Math.floor(steps / 10)), floor: 0.1 },
    evaluateEvery: Math.max(1, Math.ceil(steps / 5)),
    checkpointEvery: Math.max(1, Math.ceil(steps / 5)),
    sampleEvery: 0,
    ...training,
    ...{ batch, steps, context: from.config.context },
  });
}

/** The sum of the weighted losses, with adapters or without. */
function evaluation(model: LossProgram): Program {
  const inputs = { ...parameterTypes(model.specs), ...model.frozen, ...model.inputs };
  return trace('instruct_evaluate', inputs, (x) => ({
    total: mul(
      model.loss(x, (t) => t),
      maximum(sum(x.weights as Tensor), 1),
    ),
  }));
}

async function run(
  options: InstructOptions,
  folder: RunFolder,
  training: TrainingConfig,
  { learning, judging }: { learning: Rows; judging: Rows },
  resume: boolean,
): Promise<TrainOutcome & { trained: number }> {
  const { backend, from, lora } = options;
  const plain = textPackedLoss(from.config, training.batch, training.context);
  const model = lora === undefined ? plain : withLora(plain, lora);
  const start =
    lora === undefined ? from.weights : initialise(loraParameters(plain.specs, lora), training.seed);
  const trainable = await createTrainable({
    ...{ name: 'instruct', backend, model, config: training, parameters: start },
    evaluate: evaluation(model),
    ...(lora === undefined ? {} : { frozen: from.weights }),
  });
  try {
    const outcome = await train({
      folder,
      trainable: lora === undefined ? trainable : merging(trainable, from.weights, lora),
      config: training,
      resume,
      tokensPerStep: training.batch * training.context,
      batch: async (step) =>
        packedBatch(
          learning,
          rowsOfStep(learning.length, training.batch, training.seed, step),
          training.context,
        ),
      evaluate: async () => {
        let [total, count] = [0, 0];
        for (let first = 0; first < judging.length; first += training.batch) {
          options.signal?.throwIfAborted();
          const picks = Array.from({ length: training.batch }, (_, b) =>
            first + b < judging.length ? first + b : -1,
          );
          const part = await trainable.evaluate(packedBatch(judging, picks, training.context));
          total += part.total;
          count += part.count;
        }
        return total / count;
      },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.report === undefined ? {} : { report: options.report }),
    });
    const trained = model.specs.reduce((all, { shape }) => all + shape.reduce((a, b) => a * b, 1), 0);
    return { ...outcome, trained };
  } finally {
    await trainable.close();
  }
}

/** Checkpoints hold merged weights, so that whatever serves the run needs no adapters; its state holds the adapters. */
function merging(trainable: Trainable, weights: HostTensors, lora: LoraOptions): Trainable {
  return {
    state: () => trainable.state(),
    restore: (state) => trainable.restore(state),
    parameters: async () => mergeLora(weights, await trainable.parameters(), lora),
    step: (batch, step) => trainable.step(batch, step),
    evaluate: (batch) => trainable.evaluate(batch),
    close: () => trainable.close(),
  };
}
