"""
Beam search by Hugging Face's `transformers` on the tiny GPT-2 that checkpoints.py makes: the texts it finds and their
scores, for several widths, length penalties, ends of text and a repetition penalty.
"""
import json
import os
import sys

# The library `tokenizers` is meant, not the script beside this one.
sys.path.pop(0)

import torch
import transformers

HERE = os.path.dirname(__file__)
MODEL = os.path.join(HERE, '..', '..', 'src', 'models', 'text', 'golden', 'gpt2')
FILE = os.path.join(HERE, '..', '..', 'src', 'generate', 'golden', 'beam-search.json')

CASES = [
    {'width': width, 'penalty': penalty, 'end': end, 'prompt': prompt, 'tokens': tokens, 'repetition': repetition}
    for width, penalty, end, prompt, tokens, repetition in [
        (1, 1.0, 0, [3, 1, 4], 8, 1.0),
        (2, 1.0, 0, [3, 1, 4], 10, 1.0),
        (3, 1.0, 5, [3, 1, 4], 10, 1.0),
        (3, 0.0, 5, [3, 1, 4], 10, 1.0),
        (3, 2.0, 5, [3, 1, 4], 10, 1.0),
        (4, -1.0, 7, [2, 7, 1, 8], 12, 1.0),
        (4, 0.6, 7, [2, 7, 1, 8], 12, 1.0),
        (4, 1.0, 21, [9], 14, 1.0),
        (5, 1.0, 12, [9], 6, 1.0),
        (5, 1.5, 13, [9, 9, 9], 12, 1.3),
        (6, 1.0, 3, [16, 1], 12, 1.2),
        (8, 0.5, 11, [22, 0, 4], 9, 1.0),
        (8, 1.0, None, [22, 0, 4], 9, 1.0),
        (4, 1.0, 18, [1, 2, 3, 4, 5, 6, 7, 8], 8, 1.0),
    ]
]


def main():
    model = transformers.GPT2LMHeadModel.from_pretrained(MODEL).double().eval()
    made = []
    for case in CASES:
        prompt = torch.tensor([case['prompt']])
        config = transformers.GenerationConfig(
            num_beams=case['width'],
            num_return_sequences=case['width'],
            do_sample=False,
            length_penalty=case['penalty'],
            max_new_tokens=case['tokens'],
            eos_token_id=case['end'],
            bos_token_id=None,
            pad_token_id=99,
            early_stopping=False,
            repetition_penalty=case['repetition'],
            return_dict_in_generate=True,
            output_scores=True,
        )
        model.generation_config = config
        model.config.eos_token_id = None
        model.config.bos_token_id = None
        given = model.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=config)
        texts = [[t for t in row.tolist()[prompt.shape[1]:] if t != 99] for row in given.sequences]
        # Greedy search has no scores.
        scores = None if case['width'] == 1 else given.sequences_scores.tolist()
        made.append({**case, 'texts': texts, 'scores': scores})
        print(case['width'], case['penalty'], texts, scores, file=sys.stderr)
    result = {'torch': torch.__version__.split('+')[0], 'transformers': transformers.__version__, 'cases': made}
    os.makedirs(os.path.dirname(FILE), exist_ok=True)
    with open(FILE, 'w') as file:
        json.dump(result, file, separators=(',', ':'))
        file.write('\n')


if __name__ == '__main__':
    main()
