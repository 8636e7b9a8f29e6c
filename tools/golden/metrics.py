"""
Text metrics from their reference implementations (sacrebleu, rouge_score, jiwer, nltk's Porter stemmer) on random and
nasty segments. Run with `python -P`: a file here has the name of a package that they need.
"""
import json
import os
import random
import sys

import jiwer
import sacrebleu
from importlib.metadata import version
from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF

FILE = os.path.join(os.path.dirname(__file__), '..', '..', 'src', 'evaluate', 'metrics', 'golden', 'metrics.json')
SEED = 7
WORDS = ('the cat sat on a mat . , ! ? quickly running dogs happily 3.14 1,000 10-20 e.g. U.S. don\'t "quoted" (so) '
         '&amp; &quot;x&quot; <skipped> naïve café CAFÉ 你好 世界 模型 。 ， … — – $5 €3 50% x² ½ ① Ⅷ 😀 👩‍👩‍👧 Straße ΣΑΣ '
         'ponies relational conditional flies dying sky skies agreed hopping falling generalization a\u00a0b').split(' ')


def segment(r):
    return r.choice(['', ' ', '  ']).join([r.choice(['', ' '])] + [
        w + r.choice([' ', ' ', ' ', '  ', '\t', '']) for w in r.choices(WORDS, k=r.randint(0, 14))])


def changed(r, text):
    parts = text.split(' ')
    for _ in range(r.randint(0, 4)):
        if parts and r.random() < 0.4:
            parts.pop(r.randrange(len(parts)))
        elif r.random() < 0.6:
            parts.insert(r.randint(0, len(parts)), r.choice(WORDS))
        elif len(parts) > 1:
            i = r.randrange(len(parts) - 1)
            parts[i], parts[i + 1] = parts[i + 1], parts[i]
    return ' '.join(parts)


def corpora():
    r = random.Random(SEED)
    yield ['The dog bit the man.', 'It was not unexpected.', 'The man bit him first.'], [
        ['The dog bit the man.', 'It was not unexpected.', 'The man bit him first.'],
        ['The dog had bit the man.', 'No one was surprised.', 'The man had bitten the dog.']]
    yield ['', 'x', ' '], [['', 'x y', 'z']]
    yield ['no match here'], [['completely other words']]
    for size in [1, 1, 2, 5, 20]:
        for streams in [1, 2, 3]:
            references = [[segment(r) for _ in range(size)] for _ in range(streams)]
            yield [changed(r, r.choice(references)[i]) for i in range(size)], references


def scores(hypotheses, references):
    made = {'hypotheses': hypotheses, 'references': references, 'bleu': {}, 'chrf': {}}
    for tokenize in ['13a', 'intl', 'none', 'char', 'zh']:
        for smooth in ['exp', 'floor', 'add-k', 'none']:
            metric = BLEU(tokenize=tokenize, smooth_method=smooth)
            made['bleu'][f'{tokenize}/{smooth}'] = metric.corpus_score(hypotheses, references).score
    made['bleu']['13a/exp/lowercase'] = BLEU(lowercase=True).corpus_score(hypotheses, references).score
    made['sentences'] = [BLEU(effective_order=True).sentence_score(h, [s[i] for s in references]).score
                         for i, h in enumerate(hypotheses)]
    made['chrf']['chrf'] = CHRF().corpus_score(hypotheses, references).score
    made['chrf']['chrf++'] = CHRF(word_order=2).corpus_score(hypotheses, references).score
    for stem in [False, True]:
        scorer = rouge_scorer.RougeScorer(['rouge1', 'rouge2', 'rougeL', 'rougeLsum'], use_stemmer=stem)
        made['rouge_stem' if stem else 'rouge'] = [
            {k: list(v) for k, v in scorer.score_multi([s[i] for s in references], h).items()}
            for i, h in enumerate(hypotheses)]
    first = references[0]
    words = jiwer.process_words(first, hypotheses)
    made['errors'] = {'wer': words.wer, 'mer': words.mer, 'wil': words.wil, 'cer': jiwer.cer(first, hypotheses)}
    return made


def main():
    r = random.Random(SEED + 1)
    stems = set('sky skies dying lying tying news innings outings howe proceed succeed flies dies spied died agreed feed '
                'hopping tanned falling hissing fizzed failing filing happy enjoy relational conditional radically '
                'vietnamization sensibility hopefully apology geology goodness replacement adoption communism controlling '
                'rolling yyyy syzygy oo a be'.split())
    letters = 'aeiouybcdfglmnrstz'
    ends = ['', 'ed', 'ing', 'ies', 'ied', 'eed', 'ational', 'alli', 'fulli', 'logi', 'ness', 'ement', 'ion', 'll', 'e', 's', 'y',
            'izing', 'biliti', 'iviti', 'ly', 'ative']
    while len(stems) < 1200:
        stems.add(''.join(r.choices(letters, k=r.randint(1, 6))) + r.choice(ends))
    porter = PorterStemmer()
    words = sorted(stems)
    pair = ('testing one two', 'testing')
    made = {
        'versions': {name: version(name) for name in ['sacrebleu', 'rouge_score', 'jiwer', 'nltk', 'rapidfuzz']},
        'seed': SEED,
        'corpora': [scores(h, s) for h, s in corpora()],
        'multiline': [{'prediction': p, 'target': t,
                       'score': list(rouge_scorer.RougeScorer(['rougeLsum']).score(t, p)['rougeLsum'])}
                      for p, t in [('w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5', 'w1 w2 w3 w4 w5'),
                                   ('w1 w2 w3 w4 w5', 'w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5'), ('a b\n\nc', 'c a\nb'),
                                   pair]],
        'stems': {w: porter.stem(w) for w in words},
    }
    os.makedirs(os.path.dirname(FILE), exist_ok=True)
    with open(FILE, 'w') as file:
        json.dump(made, file, ensure_ascii=True, separators=(',', ':'))
        file.write('\n')
    print(os.path.getsize(FILE), file=sys.stderr)


if __name__ == '__main__':
    main()
