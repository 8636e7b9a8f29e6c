"""Convolutions in one and two dimensions, and their transposes: stride, dilation, groups, padding."""
import torch
import torch.nn.functional as F

from common import Golden

ONE = [
    ((2, 3, 8), (4, 3, 3), dict()),
    ((1, 2, 9), (3, 2, 3), dict(stride=2, padding=1)),
    ((2, 4, 10), (4, 2, 3), dict(dilation=2, groups=2, padding=2)),
    ((1, 3, 7), (3, 1, 2), dict(groups=3)),
]
TWO = [
    ((1, 2, 5, 6), (3, 2, 3, 3), dict(padding=1)),
    ((2, 2, 6, 5), (2, 2, 2, 3), dict(stride=(2, 1))),
    ((1, 4, 7, 7), (2, 2, 3, 3), dict(groups=2, stride=2, padding=1)),
    ((1, 1, 8, 7), (2, 1, 3, 2), dict(dilation=(2, 3))),
    ((1, 2, 4, 4), (3, 2, 1, 1), dict()),
]
BACK_ONE = [
    ((2, 3, 4), (3, 2, 3), dict(stride=2, padding=1, output_padding=1)),
    ((1, 4, 5), (4, 1, 3), dict(groups=2, dilation=2)),
]
BACK_TWO = [
    ((1, 2, 3, 4), (2, 3, 3, 3), dict(stride=2, padding=1)),
    ((1, 4, 3, 3), (4, 1, 2, 2), dict(groups=2, stride=(2, 1))),
]


def attributes(rank, options):
    def each(value):
        return list(value) if isinstance(value, tuple) else [value] * rank

    made = {
        'stride': each(options.get('stride', 1)),
        'dilation': each(options.get('dilation', 1)),
        'padding': [[p, p] for p in each(options.get('padding', 0))],
        'groups': options.get('groups', 1),
    }
    if 'output_padding' in options:
        made['outputPadding'] = each(options['output_padding'])
    return made


def main():
    golden = Golden('convolution')
    v = golden.values
    for op, rank, function, cases in (
        ('conv', 1, F.conv1d, ONE),
        ('conv', 2, F.conv2d, TWO),
        ('convTranspose', 1, F.conv_transpose1d, BACK_ONE),
        ('convTranspose', 2, F.conv_transpose2d, BACK_TWO),
    ):
        for x, w, options in cases:
            golden.case(op, [v.real(*x), v.real(*w)], lambda x, w: function(x, w, **options), attributes(rank, options))
    uneven = lambda x, w: F.conv1d(F.pad(x, (2, 0)), w)
    causal = {'stride': [1], 'dilation': [1], 'padding': [[2, 0]], 'groups': 1}
    golden.case('conv', [v.real(1, 2, 6), v.real(2, 2, 3)], uneven, causal)
    golden.write()


if __name__ == '__main__':
    main()
