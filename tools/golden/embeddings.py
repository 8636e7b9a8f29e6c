"""
Sentence vectors of the tiny checkpoints that checkpoints.py made, as `transformers` and the usual pooling give them:
the mean over the mask, the first token, the last token, BERT's pooler; each of length 1. Run after checkpoints.py.
"""
import json
import os
import sys

# A neighbour is named as a package that transformers imports.
sys.path = [entry for entry in sys.path if os.path.abspath(entry or '.') != os.path.dirname(os.path.abspath(__file__))]

import torch
import transformers

HERE = os.path.dirname(__file__)
MODELS = os.path.join(HERE, '..', '..', 'src', 'models', 'text', 'golden')
OUT = os.path.join(HERE, '..', '..', 'src', 'generate', 'golden', 'embeddings.json')
SEQUENCES = [[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5], [8], [9, 7, 9, 3, 2]]


def pooled(model, pooling):
    longest = max(map(len, SEQUENCES))
    tokens = torch.tensor([ids + [0] * (longest - len(ids)) for ids in SEQUENCES])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in SEQUENCES])
    with torch.no_grad():
        given = model(tokens, attention_mask=mask)
    hidden = given.last_hidden_state
    if pooling == 'pooler':
        rows = given.pooler_output
    elif pooling == 'first':
        rows = hidden[:, 0]
    elif pooling == 'last':
        rows = torch.stack([row[len(ids) - 1] for row, ids in zip(hidden, SEQUENCES)])
    else:
        rows = (hidden * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
    return torch.nn.functional.normalize(rows, dim=-1)


def main():
    cases = []
    for name in ('bert', 'gpt2', 'llama'):
        model = transformers.AutoModel.from_pretrained(os.path.join(MODELS, name)).eval().double()
        for pooling in ('mean', 'first', 'last') + (('pooler',) if name == 'bert' else ()):
            rows = pooled(model, pooling).tolist()
            cases.append({'model': name, 'pooling': pooling, 'embeddings': [[float(f'{x:.8g}') for x in row] for row in rows]})
    head = {'transformers': transformers.__version__, 'torch': torch.__version__.split('+')[0], 'sequences': SEQUENCES}
    text = json.dumps(head)[:-1] + ', "cases": [\n' + ',\n'.join(json.dumps(case) for case in cases) + '\n]}\n'
    os.makedirs(os.path.dirname(OUT), exist_ok=True)
    with open(OUT, 'w') as file:
        file.write(text)
    print(f'embeddings: {len(cases)} cases', file=sys.stderr)


if __name__ == '__main__':
    main()
