"""
A whole GPT-2 of two layers with biases: logits, loss and the gradient of every parameter. Names and layouts are
Hugging Face's ([in, out] for linear layers). Not a list of op cases: `parameters`, `tokens`, `targets`, `logits`,
`loss`, `gradients`.
"""
import math
import os
import json
import sys

import torch
import torch.nn.functional as F

from common import FOLDER, SEED, Values, tensor

CONFIG = {'layers': 2, 'heads': 2, 'width': 8, 'context': 6, 'vocabulary': 11, 'bias': True}


def parameters(v):
    width, made = CONFIG['width'], {}
    small = lambda *shape: v.real(*shape, low=-0.5, high=0.5)
    made['wte.weight'] = small(CONFIG['vocabulary'], width)
    made['wpe.weight'] = small(CONFIG['context'], width)
    for layer in range(CONFIG['layers']):
        at = f'h.{layer}.'
        for name in ('ln_1', 'ln_2'):
            made[f'{at}{name}.weight'] = 1 + small(width)
            made[f'{at}{name}.bias'] = small(width)
        for name, rows, columns in (
            ('attn.c_attn', width, 3 * width),
            ('attn.c_proj', width, width),
            ('mlp.c_fc', width, 4 * width),
            ('mlp.c_proj', 4 * width, width),
        ):
            made[f'{at}{name}.weight'] = small(rows, columns)
            made[f'{at}{name}.bias'] = small(columns)
    made['ln_f.weight'] = 1 + small(width)
    made['ln_f.bias'] = small(width)
    return made


def forward(p, tokens):
    batch, time = tokens.shape
    width, heads = CONFIG['width'], CONFIG['heads']
    norm = lambda name, x: F.layer_norm(x, (width,), p[f'{name}.weight'], p[f'{name}.bias'], eps=1e-5)
    linear = lambda name, x: x @ p[f'{name}.weight'] + p[f'{name}.bias']
    x = p['wte.weight'][tokens] + p['wpe.weight'][:time]
    for layer in range(CONFIG['layers']):
        at = f'h.{layer}.'
        parts = linear(f'{at}attn.c_attn', norm(f'{at}ln_1', x)).split(width, dim=2)
        q, k, v = (part.view(batch, time, heads, width // heads).transpose(1, 2) for part in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, time, width)
        x = x + linear(f'{at}attn.c_proj', y)
        hidden = F.gelu(linear(f'{at}mlp.c_fc', norm(f'{at}ln_2', x)), approximate='tanh')
        x = x + linear(f'{at}mlp.c_proj', hidden)
    return norm('ln_f', x) @ p['wte.weight'].T


def main():
    v = Values()
    p = {name: value.requires_grad_() for name, value in parameters(v).items()}
    tokens = v.whole(2, 5, below=CONFIG['vocabulary'])
    targets = v.whole(2, 5, below=CONFIG['vocabulary'])
    logits = forward(p, tokens)
    loss = F.cross_entropy(logits.view(-1, CONFIG['vocabulary']), targets.view(-1))
    assert math.isfinite(loss.item())
    gradients = dict(zip(p, torch.autograd.grad(loss, list(p.values()))))
    made = {
        'family': 'gpt2',
        'torch': torch.__version__.split('+')[0],
        'seed': SEED,
        'config': CONFIG,
        'parameters': {name: tensor(value) for name, value in p.items()},
        'tokens': tensor(tokens),
        'targets': tensor(targets),
        'logits': tensor(logits),
        'loss': tensor(loss),
        'gradients': {name: tensor(value) for name, value in gradients.items()},
    }
    text = json.dumps(made, separators=(',', ':')) + '\n'
    with open(os.path.join(FOLDER, 'gpt2.json'), 'w') as file:
        file.write(text)
    print(f'gpt2: {len(text) / 1000:.1f} kB', file=sys.stderr)


if __name__ == '__main__':
    main()
