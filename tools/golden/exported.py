"""Checks an exported Hugging Face folder: transformers' logits beside those of `inkstone logits`, from its JSON.

    inkstone export MODEL --format huggingface --out FOLDER
    inkstone logits FOLDER --ids 3,1,4 --json > logits.json
    python exported.py FOLDER logits.json 3,1,4

Prints the largest difference and ends with status 1 where it is above 1e-4.
"""

import json
import sys

# This folder has a tokenizers.py of its own, which must not stand for the library.
sys.path.pop(0)

import torch
from transformers import AutoConfig, AutoTokenizer, AutoModelForCausalLM, AutoModelForPreTraining

folder, answer, ids = sys.argv[1:4]
tokens = torch.tensor([[int(token) for token in ids.split(",")]])
config = AutoConfig.from_pretrained(folder)
kind = AutoModelForPreTraining if config.model_type == "bert" else AutoModelForCausalLM
model, loaded = kind.from_pretrained(folder, output_loading_info=True)
problems = {key: value for key, value in loaded.items() if value}
with torch.no_grad():
    out = model.eval()(tokens)
scores = out.prediction_logits if config.model_type == "bert" else out.logits
ours = torch.tensor(json.load(open(answer))["logits"])
difference = float((scores[0, -1] - ours).abs().max())
text = AutoTokenizer.from_pretrained(folder).decode(tokens[0])
print(json.dumps({"model_type": config.model_type, "difference": difference, "problems": str(problems), "text": text}))
sys.exit(0 if difference <= 1e-4 and not problems else 1)
