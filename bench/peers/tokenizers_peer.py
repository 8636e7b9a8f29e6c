"""
Hugging Face's tokenizers as a peer: learns byte-level BPE and encodes with it, on one core. Driven by JSON lines on stdin
and answered on stdout (bench/protocol.ts has the messages).
"""
import json
import os
import resource
import sys
import time

os.environ['TOKENIZERS_PARALLELISM'] = 'false'
os.environ['RAYON_NUM_THREADS'] = '1'

import tokenizers  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: E402


class Work:
    def __init__(self, call):
        with open(call['file'], encoding='utf-8') as file:
            self.texts = json.load(file)
        self.call = call

    def train(self):
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(vocab_size=self.call['vocabulary'], special_tokens=['<|endoftext|>'],
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
        tokenizer.train_from_iterator(self.texts, trainer)
        return [tokenizer.get_vocab_size()]

    def encode(self):
        tokenizer = Tokenizer.from_file(self.call['tokenizer'])
        start = time.perf_counter()
        first, total = None, 0
        for text in self.texts:
            ids = tokenizer.encode(text).ids
            first = first or ids[:64]
            total += len(ids)
        return time.perf_counter() - start, first + [total]

    def run(self, count):
        seconds, tokens = [], None
        for _ in range(count):
            if self.call['task'] == 'encode':
                took, tokens = self.encode()
            else:
                start = time.perf_counter()
                tokens = self.train()
                took = time.perf_counter() - start
            seconds.append(took)
        return {'seconds': seconds, 'tokens': tokens}


def answer(call, prepared):
    if call['do'] == 'describe':
        return {'name': "Hugging Face's tokenizers", 'version': tokenizers.__version__, 'threads': 1, 'facts': {}}
    if call['do'] == 'prepare':
        prepared[call['name']] = Work(call)
        return {}
    if call['do'] == 'run':
        return prepared[call['name']].run(call['count'])
    if call['do'] == 'free':
        prepared.pop(call['name'], None)
        return {}
    if call['do'] == 'memory':
        return {'peak': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    raise ValueError(f'unknown: {call["do"]}')


def main():
    out = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)  # what libraries print must not get between the answers
    prepared = {}
    for line in sys.stdin:
        call = json.loads(line)
        try:
            said = {'id': call['id'], 'value': answer(call, prepared)}
        except Exception as error:
            said = {'id': call['id'], 'error': f'{type(error).__name__}: {error}'}
        out.write(json.dumps(said) + '\n')


if __name__ == '__main__':
    main()
