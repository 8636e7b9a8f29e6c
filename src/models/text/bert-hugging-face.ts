/** BERT checkpoints in Hugging Face's layout: which heads a class has, config keys, tensor names old and new. */
import { z } from 'zod';
import type { HostTensor, HostTensors } from '../../base/tensor.ts';
import type { HuggingFaceLayout } from './architecture.ts';
import { type BertConfig, bertParameters } from './bert.ts';
import { configUnsupported, parametersOf } from './checkpoint.ts';

const theirs = z.object({
  architectures: z.array(z.string()).nullish(),
  num_hidden_layers: z.number().int(),
  num_attention_heads: z.number().int(),
  hidden_size: z.number().int(),
  intermediate_size: z.number().int(),
  max_position_embeddings: z.number().int(),
  type_vocab_size: z.number().int().default(2),
  vocab_size: z.number().int(),
  hidden_act: z.string().default('gelu'),
  layer_norm_eps: z.number().default(1e-12),
  position_embedding_type: z.string().nullish(),
  id2label: z.record(z.string(), z.string()).nullish(),
});

type Heads = Pick<BertConfig, 'pooler' | 'masked' | 'next' | 'span'> & { classes: number };

function headsOf(name: string, classes: number): Heads {
  const none: Heads = { pooler: false, masked: false, next: false, span: false, classes: 0 };
  switch (name) {
    case 'BertForPreTraining':
      return { ...none, pooler: true, masked: true, next: true };
    case 'BertForMaskedLM':
      return { ...none, masked: true };
    case 'BertForNextSentencePrediction':
      return { ...none, pooler: true, next: true };
    case 'BertForSequenceClassification':
      return { ...none, pooler: true, classes };
    case 'BertForQuestionAnswering':
      return { ...none, span: true };
    case 'BertModel':
      return { ...none, pooler: true };
    default:
      throw configUnsupported(
        `BERT checkpoints of class ${name} are not known`,
        'BertModel, BertForPreTraining, BertForMaskedLM, BertForNextSentencePrediction, BertForSequenceClassification and BertForQuestionAnswering can be read',
      );
  }
}

function classOf(config: BertConfig): string {
  if (config.masked) return config.next ? 'BertForPreTraining' : 'BertForMaskedLM';
  if (config.next) return 'BertForNextSentencePrediction';
  if (config.classes > 0) return 'BertForSequenceClassification';
  return config.span ? 'BertForQuestionAnswering' : 'BertModel';
}

function readConfig(raw: Record<string, unknown>): BertConfig {
  const read = theirs.safeParse(raw);
  if (!read.success)
    throw configUnsupported(
      `config.json is not complete: ${z.prettifyError(read.error)}`,
      'num_hidden_layers, num_attention_heads, hidden_size, intermediate_size, max_position_embeddings and vocab_size are needed',
      read.error,
    );
  const c = read.data;
  if (c.hidden_act !== 'gelu' || (c.position_embedding_type ?? 'absolute') !== 'absolute')
    throw configUnsupported(
      'this BERT has another activation or other positions',
      'gelu and absolute positions can be read',
    );
  return {
    architecture: 'bert',
    layers: c.num_hidden_layers,
    heads: c.num_attention_heads,
    width: c.hidden_size,
    hidden: c.intermediate_size,
    context: c.max_position_embeddings,
    vocabulary: c.vocab_size,
    segments: c.type_vocab_size,
    epsilon: c.layer_norm_eps,
    matching: 0,
    nextWeight: 1,
    ...headsOf(c.architectures?.[0] ?? 'BertModel', Object.keys(c.id2label ?? { 0: '', 1: '' }).length),
  };
}

function writeConfig(config: BertConfig): Record<string, unknown> {
  return {
    architectures: [classOf(config)],
    model_type: 'bert',
    hidden_act: 'gelu',
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    hidden_size: config.width,
    intermediate_size: config.hidden,
    max_position_embeddings: config.context,
    type_vocab_size: config.segments,
    vocab_size: config.vocabulary,
    layer_norm_eps: config.epsilon,
    hidden_dropout_prob: 0.1,
    attention_probs_dropout_prob: 0,
    initializer_range: 0.02,
    pad_token_id: 0,
    ...(config.classes > 0
      ? { id2label: Object.fromEntries(Array.from({ length: config.classes }, (_, i) => [i, `LABEL_${i}`])) }
      : {}),
    torch_dtype: 'float32',
  };
}

/** Files from TensorFlow's time say gamma and beta; a bare model has no outer prefix. */
function readTensors(tensors: HostTensors, config: BertConfig): HostTensors {
  const plain: Record<string, HostTensor> = {};
  for (const [name, value] of Object.entries(tensors)) {
    const modern = name
      .replace(/LayerNorm\.gamma$/, 'LayerNorm.weight')
      .replace(/LayerNorm\.beta$/, 'LayerNorm.bias');
    plain[/^(bert|cls|classifier|qa_outputs)\./.test(modern) ? modern : `bert.${modern}`] = value;
  }
  plain['cls.predictions.bias'] ??= plain['cls.predictions.decoder.bias'] as HostTensor;
  return parametersOf(plain, bertParameters(config));
}

function writeTensors(parameters: HostTensors, config: BertConfig): HostTensors {
  if (classOf(config) === 'BertModel')
    return Object.fromEntries(
      Object.entries(parameters).map(([name, value]) => [name.replace(/^bert\./, ''), value]),
    );
  return parameters;
}

export const bertHuggingFace: HuggingFaceLayout<BertConfig> = {
  architecture: 'bert',
  modelTypes: ['bert'],
  readConfig,
  writeConfig,
  readTensors,
  writeTensors,
};
