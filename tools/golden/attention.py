"""
Where the heads of the tiny golden checkpoints look, as transformers tells it (eager attention, float64): written as
attention.json beside each checkpoint. Run after checkpoints.py.
"""
import json
import os
import sys

import torch
import transformers

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
from checkpoints import FOLDER, IDS, MODELS  # noqa: E402

for name, (kind, _, _) in MODELS.items():
    place = os.path.join(FOLDER, name)
    model = kind.from_pretrained(place, attn_implementation='eager').eval().double()
    with torch.no_grad():
        found = model(torch.tensor([IDS]), output_attentions=True).attentions
    made = {'torch': torch.__version__.split('+')[0], 'transformers': transformers.__version__, 'ids': IDS,
            'attention': [[[[round(value, 9) for value in row] for row in head] for head in layer[0].tolist()]
                          for layer in found]}
    with open(os.path.join(place, 'attention.json'), 'w') as file:
        json.dump(made, file, separators=(',', ':'))
        file.write('\n')
