"""
A tiny WordPiece tokenizer trained by Hugging Face's `tokenizers`: its file, and what it makes of nasty texts. Run with
`python -P`: a file here has the name of a package that it needs.
"""
import json
import os
import sys

import tokenizers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FILE = os.path.join(os.path.dirname(__file__), '..', '..', 'src', 'data', 'tokenizer', 'golden', 'wordpiece.json')
TEXT = ["The quick brown fox jumps over the lazy dog, doesn't it?", 'Running runners run quickly; the run was run.',
        'A naïve café résumé, and Straße.', 'The words of the world are worn wording.', '机器学习 模型 的 世界', '1,000 words - 3.14!'] * 4
TORTURE = ['', ' ', 'The quickest runner.', "don't", 'CAFÉ naïve e\u0301', '机器学习 models 模型。', 'a\tb\nc\r\nd', 'x' * 101, 'word' * 30,
           '\u200b\u00ad zero\u200bwidth', '\u0000null\ufffd', '👩‍👩‍👧 emoji 😀', 'مرحبا بالعالم', 'हिन्दी पाठ', 'ภาษาไทย', 'ｆｕｌｌ　ｗｉｄｔｈ',
           '$5^2`~=+<>|', '…—“”‘’«»', 'İstanbul ΣΑΣ ﬁn', '\u00a0nbsp\u3000wide', 'ア イ か\u3099', '한국어 텍스트', '１２３ ½ ²', '[MASK] [CLS]', '##ing', 'the [MASK]worn', 'next\u0085line a\ufeffb c\u000bd\u000ce f\u001cg h\u180ei', 'ΌΣΟΣ ΣΣ']


def main():
    tokenizer = Tokenizer(models.WordPiece(unk_token='[UNK]'))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    tokenizer.train_from_iterator(TEXT, trainers.WordPieceTrainer(vocab_size=160, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single='[CLS] $A [SEP]', pair='[CLS] $A [SEP] $B:1 [SEP]:1',
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ['[CLS]', '[SEP]']])
    made = {'tokenizers': tokenizers.__version__, 'file': json.loads(tokenizer.to_str()),
            'texts': [[t, tokenizer.encode(t, add_special_tokens=False).ids] for t in TORTURE]}
    with open(FILE, 'w') as file:
        json.dump(made, file, ensure_ascii=True, separators=(',', ':'))
        file.write('\n')
    print(os.path.getsize(FILE), file=sys.stderr)


if __name__ == '__main__':
    main()
