"""
Tiny checkpoints of Hugging Face's `transformers` with random weights, as its own `save_pretrained` writes them
(config.json, model.safetensors; one of them in shards), and the logits they give. Pins down that our reading of such
folders, names, layouts and arithmetic is theirs.
"""
import json
import os
import shutil
import sys

import torch
import transformers

FOLDER = os.path.join(os.path.dirname(__file__), '..', '..', 'src', 'models', 'text', 'golden')
SEED = 20261124
SIZES = {'num_hidden_layers': 2, 'num_attention_heads': 4, 'hidden_size': 16, 'vocab_size': 23}
LLAMA = {**SIZES, 'num_key_value_heads': 2, 'intermediate_size': 24, 'max_position_embeddings': 16,
         'bos_token_id': 1, 'eos_token_id': 2}
BERT = {**SIZES, 'intermediate_size': 24, 'max_position_embeddings': 16}
SCALED = {'rope_type': 'llama3', 'factor': 4.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0,
          'original_max_position_embeddings': 8}

MODELS = {
    'gpt2': (transformers.GPT2LMHeadModel, transformers.GPT2Config(
        n_layer=2, n_head=4, n_embd=16, n_positions=16, vocab_size=23, bos_token_id=0, eos_token_id=0), {}),
    'llama': (transformers.LlamaForCausalLM, transformers.LlamaConfig(**LLAMA, rope_theta=500.0), {}),
    'llama-scaled': (transformers.LlamaForCausalLM, transformers.LlamaConfig(
        **LLAMA, head_dim=6, tie_word_embeddings=True, rope_scaling=SCALED), {'max_shard_size': '5KB'}),
    'mistral': (transformers.MistralForCausalLM, transformers.MistralConfig(
        **LLAMA, sliding_window=3, attn_implementation='eager'), {}),
    'qwen2': (transformers.Qwen2ForCausalLM, transformers.Qwen2Config(**LLAMA, tie_word_embeddings=True), {}),
    'qwen3': (transformers.Qwen3ForCausalLM, transformers.Qwen3Config(**{**LLAMA, 'head_dim': 8}), {}),
    'bert': (transformers.BertForPreTraining, transformers.BertConfig(**BERT), {}),
    'bert-masked': (transformers.BertForMaskedLM, transformers.BertConfig(**BERT), {}),
    'bert-classes': (transformers.BertForSequenceClassification, transformers.BertConfig(**BERT, num_labels=3), {}),
}
IDS = [3, 1, 4, 1, 5, 9, 2, 6]


def main():
    for name, (kind, config, options) in MODELS.items():
        torch.manual_seed(SEED)
        model = kind(config).eval()
        with torch.no_grad():
            # Far from where they start: scores that are all alike would prove nothing.
            for key, value in model.named_parameters():
                middle = 1.0 if 'norm' in key.lower() and key.endswith('weight') or '.ln_' in key and key.endswith('weight') else 0.0
                value.copy_(middle + 0.5 * (2 * torch.rand(value.shape) - 1))
            tokens = torch.tensor([IDS])
            exact = kind(config).eval().double()
            exact.load_state_dict({k: v.double() for k, v in model.state_dict().items()})
            given = exact(tokens)
        answers = {'prediction_logits' if hasattr(given, 'prediction_logits') else 'logits':
                   getattr(given, 'prediction_logits', getattr(given, 'logits', None)).tolist()[0]}
        if hasattr(given, 'seq_relationship_logits'):
            answers['next'] = given.seq_relationship_logits.tolist()[0]
        place = os.path.join(FOLDER, name)
        shutil.rmtree(place, ignore_errors=True)
        model.save_pretrained(place, **options)
        for extra in ['generation_config.json']:
            path = os.path.join(place, extra)
            if os.path.exists(path):
                os.remove(path)
        made = {'torch': torch.__version__.split('+')[0], 'transformers': transformers.__version__, 'seed': SEED,
                'ids': IDS, **answers}
        with open(os.path.join(place, 'expected.json'), 'w') as file:
            json.dump(made, file, separators=(',', ':'))
            file.write('\n')
        print(name, sum(os.path.getsize(os.path.join(place, f)) for f in os.listdir(place)), file=sys.stderr)


if __name__ == '__main__':
    main()
