"""Reductions over one axis, several and all; running sums; ties and zeros where the gradient depends on them."""
import torch

from common import Golden


def main():
    golden = Golden('reductions')
    v = golden.values
    plans = [([0, 1, 2], False), ([1], False), ([0, 2], True), ([-1], True)]
    for axes, keep in plans:
        attributes = {'axes': axes, 'keep': keep}
        over = dict(dim=tuple(axes), keepdim=keep)
        golden.case('sum', [v.real(2, 3, 4)], lambda x: torch.sum(x, **over), attributes)
        golden.case('mean', [v.real(2, 3, 4)], lambda x: torch.mean(x, **over), attributes)
        golden.case('max', [v.distinct(2, 3, 4)], lambda x: torch.amax(x, **over), attributes)
        golden.case('min', [v.distinct(2, 3, 4)], lambda x: torch.amin(x, **over), attributes)
        golden.case('logSumExp', [v.real(2, 3, 4, low=-8, high=8)], lambda x: torch.logsumexp(x, **over), attributes)
        golden.case('variance', [v.real(2, 3, 4)], lambda x: torch.var(x, correction=0, **over), attributes)
    ties = torch.tensor([[2.0, 2.0, 1.0, 2.0], [0.0, -1.0, -1.0, 0.0]], dtype=torch.float64)
    golden.case('max', [ties], lambda x: torch.amax(x, dim=1), {'axes': [1], 'keep': False})
    golden.case('min', [ties], lambda x: torch.amin(x, dim=1), {'axes': [1], 'keep': False})
    zeros = torch.tensor([[2.0, 0.0, 3.0], [0.0, 0.0, 1.5], [1.0, -2.0, 0.5]], dtype=torch.float64)
    golden.case('prod', [zeros], lambda x: torch.prod(x, dim=1), {'axes': [1], 'keep': False})
    golden.case('prod', [v.real(2, 3, 4)], lambda x: torch.prod(x, dim=0, keepdim=True), {'axes': [0], 'keep': True})
    golden.case('prod', [zeros], lambda x: torch.prod(torch.prod(x, dim=1), dim=0), {'axes': [0, 1], 'keep': False})
    for axis in (0, 1, 2):
        golden.case('cumsum', [v.real(2, 3, 4)], lambda x: torch.cumsum(x, dim=axis), {'axis': axis})
        golden.case('argmax', [v.distinct(2, 3, 4)], lambda x: torch.argmax(x, dim=axis), {'axis': axis}, ())
        golden.case('argmin', [v.distinct(2, 3, 4)], lambda x: torch.argmin(x, dim=axis), {'axis': axis}, ())
    golden.write()


if __name__ == '__main__':
    main()
