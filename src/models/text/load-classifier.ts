/**
 * Opens a folder as a classifier: a run of `inkstone train classify`, what was exported from one, or a Hugging Face
 * sequence classifier. Knows files and labels; runs nothing.
 */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { readText } from '../../base/host.ts';
import type { HostTensors } from '../../base/tensor.ts';
import { readTokenizer } from '../../data/tokenizer/read.ts';
import type { Tokenizer } from '../../data/tokenizer/tokenizer.ts';
import { isBert } from './any.ts';
import { parametersOf } from './checkpoint.ts';
import { type ClassifierConfig, classifierParameters } from './classifier.ts';
import { huggingFaceLayout } from './hugging-face.ts';
import { describeTextModel, type TextModelInfo } from './load.ts';
import { readWeights } from './weights.ts';

const own = z.object({ task: z.literal('classify'), labels: z.array(z.string()).min(2) });
const theirs = z.object({ id2label: z.record(z.string(), z.string()) });

export interface ClassifierModel {
  info: TextModelInfo;
  config: ClassifierConfig;
  /** Class c is called `labels[c]`. */
  labels: readonly string[];
  tokenizer: Tokenizer;
  weights: HostTensors;
}

/** What a folder calls its classes; undefined where it holds no classifier. */
export async function readLabels(info: TextModelInfo): Promise<string[] | undefined> {
  const raw: unknown = JSON.parse(await readText(`${info.folder}/config.json`));
  const run = own.safeParse(raw);
  if (run.success) return run.data.labels;
  const classes = isBert(info.config) ? info.config.classes : 0;
  if (classes < 2) return undefined;
  const named = theirs.safeParse(raw);
  return Array.from({ length: classes }, (_, c) => (named.success && named.data.id2label[c]) || `LABEL_${c}`);
}

/** @throws InkstoneError `model_classifies_nothing` and what loading a model throws */
export async function loadClassifier(folder: string): Promise<ClassifierModel> {
  const info = await describeTextModel(folder);
  const labels = await readLabels(info);
  if (labels === undefined)
    throw new InkstoneError('model_classifies_nothing', `${folder} is no classifier`, {
      kind: 'unsupported',
      hint: `make one from it: inkstone train classify --base ${folder} --data table.jsonl`,
    });
  const config: ClassifierConfig = { model: info.config, classes: labels.length };
  const tensors = await readWeights(folder, info.source);
  const weights =
    info.source === 'hugging-face'
      ? huggingFaceLayout(info.config).readTensors(tensors, info.config)
      : parametersOf(tensors, classifierParameters(config));
  return {
    info,
    config,
    labels,
    tokenizer: readTokenizer(await readText(`${folder}/tokenizer.json`)),
    weights,
  };
}
