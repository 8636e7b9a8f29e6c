"""
Ids of Hugging Face's `tokenizers` for byte-level BPE and for a character vocabulary, on texts that are hard to cut.
Run: pip install tokenizers==0.23.3; python tools/golden/tokenizers.py
"""
import json
import os

import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

# The script has the library's name: import it from elsewhere, not from this folder (run it as a path, not with -m).
OUT = os.path.join(os.path.dirname(__file__), '..', '..', 'src', 'data', 'tokenizer', 'golden', 'tokenizers.json')

CORPUS = [
    "The quick brown fox jumps over the lazy dog. The dog didn't mind; it wasn't there.\n",
    "In 1984 there were 365 days, 12 months and they're all gone.\n\n",
    "Über den Wölken müßte die Freiheit wohl grenzenlos sein. Ça va déjà?\n",
    "春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。\n",
    "def add(x, y):\n    return x + y  # sum\n\tif x: pass\n",
] * 3

TEXTS = [
    '',
    ' ',
    '  ',
    '\n',
    ' \n \n  ',
    'The quick brown fox',
    ' leading and trailing ',
    'double  spaces   and\ttabs\t\tthere',
    "I'm, you're, he'll, we've, they'd, it's, can't; I'M NOT 'sure 'll",
    '1984 12,345.67 3rd x2y ½ ² ٣',
    'Wölken müßte Ça déjà naïve e\u0301 (combining)',
    '春眠不覺曉 處處聞啼鳥。未知的字也有',
    'emoji 🙂👩‍👩‍👧 and 🏳️‍🌈!',
    'line one\r\nline two\r\n\r\n',
    'non\u00a0breaking\u2003em space\u3000wide',
    'next\u0085line and\ufeffmark \u200b zero width \u180e',
    'a \ufeff b \ufeff\ufeff !\ufeff?',
    'a \u0085\u0085 b!\u0085! \u0085x \u180e y \u2028\u2029 z \u000b\u000c\u001c\u001f w',
    '\u0000\u0001\u007f control',
    '!!! ??? ... --- ***',
    'a' * 60,
    'the' * 40,
    'supercalifragilisticexpialidocious' * 3,
    'x' * 49 + ' ' * 10 + 'y',
    '\n\n\n  def f():\n      return 1',
    'مرحبا بالعالم हिन्दी ไทย',
    '\U00010348\U0001d54f math 𝔘𝔫𝔦',
    'mixed123abc_def-ghi@jkl.mno',
]


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=['<|endoftext|>'],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def characters():
    """The form that Inkstone writes: BPE without merges and without a pre-tokenizer."""
    seen = sorted(set(''.join(CORPUS)))
    model = {'type': 'BPE', 'dropout': None, 'unk_token': None, 'continuing_subword_prefix': None,
             'end_of_word_suffix': None, 'fuse_unk': False, 'byte_fallback': False, 'ignore_merges': False,
             'vocab': {c: i for i, c in enumerate(seen)}, 'merges': []}
    whole = {'version': '1.0', 'truncation': None, 'padding': None, 'added_tokens': [], 'normalizer': None,
             'pre_tokenizer': None, 'post_processor': None, 'decoder': {'type': 'Fuse'}, 'model': model}
    return Tokenizer.from_str(json.dumps(whole))


def cases(tokenizer, texts):
    return [{'text': text, 'ids': tokenizer.encode(text).ids} for text in texts]


def main():
    bpe = byte_level()
    letters = characters()
    known = set(letters.get_vocab())
    golden = {
        'made': f'tools/golden/tokenizers.py with tokenizers {tokenizers.__version__}',
        'bpe': {'json': bpe.to_str(), 'cases': cases(bpe, TEXTS + CORPUS[:5])},
        'characters': {'json': letters.to_str(), 'cases': cases(letters, [t for t in CORPUS[:5] if set(t) <= known])},
    }
    os.makedirs(os.path.dirname(OUT), exist_ok=True)
    with open(OUT, 'w', encoding='utf-8') as file:
        json.dump(golden, file, ensure_ascii=True, separators=(',', ':'))
        file.write('\n')
    print(os.path.getsize(OUT), 'bytes')


if __name__ == '__main__':
    main()
