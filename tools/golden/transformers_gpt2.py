"""
A tiny GPT-2 of Hugging Face's `transformers` with random weights: its state dict as it would stand in
model.safetensors, and its logits. Pins down that our names, layouts and arithmetic are theirs.
"""
import json
import os
import sys

import torch
import transformers

from common import FOLDER, SEED, Values, tensor

CONFIG = {'layers': 2, 'heads': 2, 'width': 8, 'context': 6, 'vocabulary': 11, 'bias': True}


def main():
    v = Values(SEED + 1)
    config = transformers.GPT2Config(
        n_layer=CONFIG['layers'],
        n_head=CONFIG['heads'],
        n_embd=CONFIG['width'],
        n_positions=CONFIG['context'],
        vocab_size=CONFIG['vocabulary'],
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model = transformers.GPT2LMHeadModel(config).double().eval()
    parameters = {}
    with torch.no_grad():
        for name, value in model.named_parameters():
            middle = 1.0 if 'ln_' in name and name.endswith('weight') else 0.0
            value.copy_(middle + v.real(*value.shape, low=-0.5, high=0.5))
            parameters[name.removeprefix('transformer.')] = tensor(value)
        tokens = v.whole(2, 6, below=CONFIG['vocabulary'])
        logits = model(tokens).logits
    made = {
        'family': 'transformers_gpt2',
        'torch': torch.__version__.split('+')[0],
        'transformers': transformers.__version__,
        'seed': SEED + 1,
        'config': CONFIG,
        'parameters': parameters,
        'tokens': tensor(tokens),
        'logits': tensor(logits),
    }
    text = json.dumps(made, separators=(',', ':')) + '\n'
    with open(os.path.join(FOLDER, 'transformers_gpt2.json'), 'w') as file:
        file.write(text)
    print(f'transformers_gpt2: {len(text) / 1000:.1f} kB', file=sys.stderr)


if __name__ == '__main__':
    main()
