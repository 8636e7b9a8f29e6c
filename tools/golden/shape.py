"""Ops that only move values."""
import torch

from common import Golden


def main():
    golden = Golden('shape')
    v = golden.values
    golden.case('transpose', [v.real(2, 3, 4)], lambda x: x.permute(2, 0, 1), {'permutation': [2, 0, 1]})
    golden.case('reshape', [v.real(2, 3, 4)], lambda x: x.reshape(4, 6), {'shape': [4, 6]})
    golden.case('broadcastTo', [v.real(3, 1)], lambda x: x.expand(2, 3, 4), {'shape': [2, 3, 4]})
    golden.case('concat', [v.real(2, 3), v.real(2, 1), v.real(2, 2)], lambda *xs: torch.cat(xs, 1), {'axis': 1})
    golden.case('slice', [v.real(3, 7)], lambda x: x[:, 1:6:2], {'axis': 1, 'start': 1, 'end': 6, 'step': 2})
    golden.case('reverse', [v.real(3, 4)], lambda x: torch.flip(x, [1]), {'axis': 1})
    golden.case(
        'pad',
        [v.real(2, 3)],
        lambda x: torch.nn.functional.pad(x, (1, 2, 0, 1), value=0.5),
        {'pads': [[0, 1], [1, 2]], 'value': 0.5},
    )
    for axis, sizes in ((1, [2, 1, 4]), (0, [1, 2])):
        golden.case('split', [v.real(3, 7)], lambda x: torch.split(x, sizes, axis), {'axis': axis, 'sizes': sizes})
    golden.write()


if __name__ == '__main__':
    main()
