/**
 * A classifier ready to be asked: tokenizer, network and labels together turn texts into classes with probabilities.
 * Knows neither HTTP nor processes.
 */
import type { HostTensor } from '../base/tensor.ts';
import {
  bucketFor,
  bucketsOf,
  type EncodedText,
  encodedBatch,
  encodePair,
  type TextPair,
} from '../data/text/labelled.ts';
import { classifierAnswers } from '../models/text/classifier.ts';
import { type ClassifierModel, loadClassifier } from '../models/text/load-classifier.ts';
import type { Backend, Executable } from '../runtime/contract.ts';

export interface Classified {
  label: string;
  /** Of each label, in the model's order. */
  probabilities: number[];
  /** What the model read; less than the text where that was longer than its context. */
  tokens: number;
}

const AT_ONCE = 16;

export class TextClassifier {
  readonly model: ClassifierModel;
  private readonly program: Executable;

  private constructor(model: ClassifierModel, program: Executable) {
    this.model = model;
    this.program = program;
  }

  /** @throws InkstoneError `model_classifies_nothing`, and from loading and compiling */
  static async open(folder: string, backend: Backend): Promise<TextClassifier> {
    const model = await loadClassifier(folder);
    const program = await backend.compile(classifierAnswers(model.config), { constants: model.weights });
    return new TextClassifier(model, program);
  }

  get labels(): readonly string[] {
    return this.model.labels;
  }

  /** In the order of the texts; rows of one length are asked together. */
  async classify(texts: readonly TextPair[], signal?: AbortSignal): Promise<Classified[]> {
    const { tokenizer, labels, config } = this.model;
    const { context } = config.model;
    const rows = texts.map((text) => encodePair(text, tokenizer, context));
    const order = rows.map((_, i) => i).sort((a, b) => lengthOf(rows[a]) - lengthOf(rows[b]) || a - b);
    const answers = new Array<Classified>(rows.length);
    for (let from = 0; from < order.length; from += AT_ONCE) {
      signal?.throwIfAborted();
      const picks = order.slice(from, from + AT_ONCE);
      const own = picks.map((pick) => rows[pick] as EncodedText);
      const inputs = encodedBatch(own, bucketFor(own.map(lengthOf), bucketsOf(context)));
      const { probabilities } = await this.program.run({ inputs });
      const { data } = probabilities as HostTensor<'f32'>;
      picks.forEach((pick, b) => {
        const each = Array.from(data.subarray(b * labels.length, (b + 1) * labels.length));
        answers[pick] = {
          label: labels[each.indexOf(Math.max(...each))] as string,
          probabilities: each,
          tokens: lengthOf(own[b]),
        };
      });
    }
    return answers;
  }

  close(): Promise<void> {
    return this.program.free();
  }
}

const lengthOf = (row: EncodedText | undefined): number => row?.tokens.length ?? 0;
