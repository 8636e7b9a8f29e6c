"""
Small tokenizers of the kinds that open models use, put together and trained with Hugging Face's `tokenizers`: the file of
each, and its ids and decoded text for texts that are hard to cut. SentencePiece compiles the map of characters.
Run: pip install tokenizers==0.23.3 sentencepiece==0.2.3; python -P tools/golden/pipelines.py
"""
import base64
import json
import os
import tempfile

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FILE = os.path.join(os.path.dirname(__file__), '..', '..', 'src', 'data', 'tokenizer', 'pipeline', 'golden', 'pipelines.json')

CORPUS = [
    "The quick brown fox jumps over the lazy dog. The dog didn't mind; it wasn't there.",
    "In 1984 there were 365 days, 12 months and they're all gone. I'll say it's 3.14!",
    'Über den Wölken müßte die Freiheit wohl grenzenlos sein. Ça va déjà? naïve café',
    '春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。机器学习模型的世界',
    'def add(x, y):\n    return x + y  # sum\n\tif x: pass',
    'Съешь ещё этих мягких французских булок, да выпей чаю. مرحبا بالعالم',
    'ひらがなとカタカナ、漢字。한국어 텍스트도 있습니다. ภาษาไทย हिन्दी पाठ',
] * 4

TORTURE = [
    '', ' ', '  ', '\n', ' \n \n  ', 'The quick brown fox', ' leading and trailing ', 'double  spaces   and\ttabs\t\tthere',
    "I'm, you're, he'll, we've, they'd, it's, can't; I'M NOT 'sure 'LL \u017f'\u017f", '1984 12,345.67 3rd x2y ½ ² ٣ １２３ Ⅷ ①',
    'Wölken müßte Ça déjà naïve e\u0301 (combining) a\u0323\u0307', '春眠不覺曉 處處聞啼鳥。未知的字也有𠀀', 'emoji 🙂👩‍👩‍👧 and 🏳️‍🌈! 👍🏽',
    'line one\r\nline two\r\n\r\n\r\nend', 'non\u00a0breaking\u2003em space\u3000wide', 'next\u0085line and\ufeffmark \u200b zero width \u180e',
    'a \u0085\u0085 b!\u0085! \u0085x y \u2028\u2029 z \u000b\u000c\u001c\u001f w', '\u0000\u0001\u007f control \ufffd', '!!! ??? ... --- ***', 'a' * 60, 'the' * 40,
    'x' * 101 + ' y', 'x' * 49 + ' ' * 10 + 'y', '\n\n\n  def f():\n      return 1', 'مرحبا بالعالم हिन्दी ไทย', '\U00010348\U0001d54f math 𝔘𝔫𝔦 ﬁ ﬀ Å Ω ㎏ ﷺ',
    'mixed123abc_def-ghi@jkl.mno', '▁ the▁mark ▁▁ itself', '<s> text </s> <unk> <0x41> <pad>', 'İstanbul ΣΑΣ ΌΣΟΣ ẞ ǅ', 'ｆｕｌｌ　ｗｉｄｔｈ ｶﾞ ガ か\u3099',
    '$5^2`~=+<>|\\/[]{}()', '…—“”‘’«» ‼ ⁇', '한국어 텍스트 각', '<mask> a <mask>b <mask>  c', 'word [X]word [X] wordy word', 'a <|im_start|>user\nhi<|im_end|>  b',
    '##ing ing##', 'tést TÉST Tést', "don't  do not 's", '\ufe0f\u200d\u0301', ' \u00a0 \u2009x', 'the the  the   the', 'né\u0301e', 'ab' * 200,
]


def tiny_map():
    """A map of characters as SentencePiece compiles it: a few rules of NFKC, spaces, a grapheme of two characters."""
    rules = {'ﬁ': 'fi', 'ﬀ': 'ff', '\u212b': '\u00c5', '①': '1', '½': '1⁄2', '　': ' ', '\u00a0': ' ', '\u2003': ' ', '…': '...', '㎏': 'kg', 'ｆ': 'f', 'ｗ': 'w', '\u200b': ' ',
             'e\u0301': 'é', 'か\u3099': 'が', 'ｶﾞ': 'ガ', 'A': 'a', 'The': 'the', '\ufeff': '', '\t': ' ', '\u1100\u1161\u11a8': '\uac01'}
    with tempfile.TemporaryDirectory() as folder:
        with open(f'{folder}/rules.tsv', 'w') as file:
            for source, target in rules.items():
                file.write(' '.join(f'{ord(c):X}' for c in source) + '\t' + ' '.join(f'{ord(c):X}' for c in target) + '\n')
        with open(f'{folder}/text', 'w') as file:
            file.write('\n'.join(line.replace('\n', ' ') for line in CORPUS))
        sentencepiece.SentencePieceTrainer.train(input=f'{folder}/text', model_prefix=f'{folder}/m', vocab_size=200,
                                                 normalization_rule_tsv=f'{folder}/rules.tsv', minloglevel=2)
        model = sentencepiece_model_pb2.ModelProto()
        with open(f'{folder}/m.model', 'rb') as file:
            model.ParseFromString(file.read())
        return model.normalizer_spec.precompiled_charsmap


BYTES = [f'<0x{byte:02X}>' for byte in range(256)]
GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = '|'.join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
POSSESSIVE = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"


def bpe_trainer(size, special=(), alphabet=()):
    return trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), initial_alphabet=list(alphabet), show_progress=False)


def byte_level(pattern=None, size=380, prefix_space=False, regex=True, added=(), normalizer=None, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    level = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=regex and pattern is None)
    tokenizer.pre_tokenizer = level if pattern is None else pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), 'isolated'), level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, bpe_trainer(size, alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.add_special_tokens(['<|endoftext|>'])
    for token in added:
        tokenizer.add_special_tokens([token])
    return tokenizer


def sentence_bpe(legacy):
    """Llama's: characters with the mark for spaces, bytes for what is unknown."""
    tokenizer = Tokenizer(models.BPE(unk_token='<unk>', fuse_unk=True, byte_fallback=True))
    if legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend('▁'), normalizers.Replace(' ', '▁')])
        tokenizer.decoder = decoders.Sequence([decoders.Replace('▁', ' '), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(' ', 1, 0)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace('▁', prepend_scheme='first', split=False)
        tokenizer.decoder = decoders.Sequence([decoders.Replace('▁', ' '), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(' ', 1, 0)])
    texts = [word for line in CORPUS for word in line.replace('\n', ' ').replace(' ', ' ▁').split(' ')]
    trained = Tokenizer(models.BPE(unk_token='<unk>', fuse_unk=True, byte_fallback=True))
    trained.train_from_iterator(texts, bpe_trainer(520, ['<unk>', '<s>', '</s>'] + BYTES, ['▁']))
    raw = json.loads(tokenizer.to_str())
    raw['model'] = json.loads(trained.to_str())['model']
    tokenizer = Tokenizer.from_str(json.dumps(raw))
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in ['<unk>', '<s>', '</s>']])
    tokenizer.post_processor = processors.TemplateProcessing(single='<s> $A', pair='<s> $A <s> $B', special_tokens=[('<s>', tokenizer.token_to_id('<s>'))])
    return tokenizer


def unigram(normalizer, pre, decoder, size=330, special=('<s>', '<pad>', '</s>', '<unk>'), byte_fallback=False, mask=True):
    tokenizer = Tokenizer(models.Unigram())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    if decoder is not None:
        tokenizer.decoder = decoder
    tokenizer.train_from_iterator(CORPUS, trainers.UnigramTrainer(
        vocab_size=size, special_tokens=list(special), unk_token='<unk>', show_progress=False))
    if byte_fallback:
        raw = json.loads(tokenizer.to_str())
        raw['model']['byte_fallback'] = True
        raw['model']['vocab'] += [[b, -20.0] for b in BYTES]
        tokenizer = Tokenizer.from_str(json.dumps(raw))
    if mask:
        tokenizer.add_special_tokens([AddedToken('<mask>', lstrip=True, normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single='<s> $A </s>', pair='<s> $A </s> </s> $B </s>', special_tokens=[(t, tokenizer.token_to_id(t)) for t in ['<s>', '</s>']])
    return tokenizer


def clip():
    tokenizer = Tokenizer(models.BPE(unk_token='<|endoftext|>', end_of_word_suffix='</w>', continuing_subword_prefix=''))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r'\s+'), ' '), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), 'removed', invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.BPEDecoder('</w>')
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=600, special_tokens=['<|startoftext|>', '<|endoftext|>'], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix='</w>', show_progress=False))
    return tokenizer


def wordpiece(normalizer, pre, cleanup=True):
    tokenizer = Tokenizer(models.WordPiece(unk_token='[UNK]', max_input_chars_per_word=40))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.WordPiece(cleanup=cleanup)
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=['[UNK]', '[CLS]', '[SEP]'], show_progress=False))
    tokenizer.add_tokens([AddedToken('word', single_word=True, normalized=True)])
    tokenizer.add_special_tokens([AddedToken('[X]', rstrip=True, normalized=False)])
    tokenizer.post_processor = processors.BertProcessing(('[SEP]', tokenizer.token_to_id('[SEP]')), ('[CLS]', tokenizer.token_to_id('[CLS]')))
    return tokenizer


def word_level():
    tokenizer = Tokenizer(models.WordLevel(unk_token='[UNK]'))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])
    tokenizer.train_from_iterator(CORPUS, trainers.WordLevelTrainer(vocab_size=90, special_tokens=['[UNK]'], show_progress=False))
    return tokenizer


def kinds(charsmap):
    compiled = normalizers.Precompiled(charsmap)
    meta = pre_tokenizers.Metaspace('▁', prepend_scheme='always')
    bert = pre_tokenizers.BertPreTokenizer()
    chat = [AddedToken('<|im_start|>', normalized=False, special=True), AddedToken('<|im_end|>', normalized=False, special=True)]
    deepseek = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r'\p{N}{1,3}'), 'isolated'), pre_tokenizers.Split(Regex(r'[一-龥\u3040-ゟ゠-ヿ]+'), 'isolated'),
        pre_tokenizers.Split(Regex(r'[!"#$%&\'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+'), 'isolated'),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made = {
        'gpt2 with a space before': byte_level(prefix_space=True),
        'gpt2 with other tokens': byte_level(added=[AddedToken('<mask>', lstrip=True, normalized=False), *chat]),
        'llama 3': byte_level(GPT4, ignore_merges=True),
        'qwen': byte_level(QWEN, normalizer=normalizers.NFC(), added=chat),
        'gpt-4o': byte_level(O200K),
        'possessive': byte_level(POSSESSIVE),
        'llama': sentence_bpe(True),
        'mistral': sentence_bpe(False),
        'xlm-roberta': unigram(compiled, pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), meta]), decoders.Metaspace('▁')),
        't5': unigram(normalizers.Sequence([compiled, normalizers.Replace(Regex(' {2,}'), ' ')]), meta, decoders.Metaspace('▁')),
        'albert': unigram(normalizers.Sequence([normalizers.Replace('``', '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(),
                                                normalizers.Lowercase(), compiled]), pre_tokenizers.Metaspace('▁', prepend_scheme='first'), decoders.Metaspace('▁', prepend_scheme='first')),
        'unigram with bytes': unigram(normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()]), meta, decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace('▁')]), byte_fallback=True),
        'clip': clip(),
        'bert, own rules': wordpiece(normalizers.BertNormalizer(lowercase=True, strip_accents=False, handle_chinese_chars=False), bert),
        'distil': wordpiece(normalizers.BertNormalizer(lowercase=False, strip_accents=True, clean_text=False), pre_tokenizers.Sequence([
            pre_tokenizers.Punctuation('contiguous'), pre_tokenizers.WhitespaceSplit()]), cleanup=False),
        'words': word_level(),
    }
    tokenizer = byte_level()
    tokenizer.pre_tokenizer = deepseek
    made['deepseek'] = tokenizer
    for behaviour in ['merged_with_previous', 'merged_with_next', 'contiguous']:
        tokenizer = byte_level()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r'[ae\s]'), behaviour), pre_tokenizers.Digits(), pre_tokenizers.CharDelimiterSplit('-'),
                                                           pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        made[f'split {behaviour}'] = tokenizer
    return made


def main():
    charsmap = tiny_map()
    golden = {'made': f'tools/golden/pipelines.py with tokenizers {tokenizers.__version__}, sentencepiece {sentencepiece.__version__}', 'texts': TORTURE, 'kinds': {}}
    for name, tokenizer in kinds(charsmap).items():
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TORTURE]
        frame = tokenizer.encode('the', add_special_tokens=True).ids
        golden['kinds'][name] = {'file': json.loads(tokenizer.to_str()), 'ids': ids, 'framed': frame,
                                 'decoded': [tokenizer.decode(one, skip_special_tokens=True) for one in ids]}
    os.makedirs(os.path.dirname(FILE), exist_ok=True)
    with open(FILE, 'w') as file:
        json.dump(golden, file, ensure_ascii=True, separators=(',', ':'))
        file.write('\n')
    print(os.path.getsize(FILE), len(charsmap))


if __name__ == '__main__':
    main()
