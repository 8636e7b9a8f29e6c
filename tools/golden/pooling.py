"""Pooling and resampling. Padding of an average counts as zeros; pixel centres lie at half (align_corners off)."""
import torch
import torch.nn.functional as F

from common import Golden


def main():
    golden = Golden('pooling')
    v = golden.values
    pools = [
        ((1, 2, 6), [2], [2], [0]),
        ((2, 1, 7), [3], [2], [1]),
        ((1, 2, 4, 6), [2, 2], [2, 2], [0, 0]),
        ((1, 1, 5, 5), [3, 2], [1, 2], [1, 0]),
    ]
    for shape, kernel, stride, padding in pools:
        attributes = {'kernel': kernel, 'stride': stride, 'padding': [[p, p] for p in padding]}
        one = len(kernel) == 1
        largest, average = (F.max_pool1d, F.avg_pool1d) if one else (F.max_pool2d, F.avg_pool2d)
        golden.case('maxPool', [v.distinct(*shape)], lambda x: largest(x, kernel, stride, padding), attributes)
        golden.case('averagePool', [v.real(*shape)], lambda x: average(x, kernel, stride, padding), attributes)
    ties = torch.tensor([[[1.0, 1.0, 0.0, 2.0, 2.0, 2.0]]], dtype=torch.float64)
    attributes = {'kernel': [3], 'stride': [1], 'padding': [[0, 0]]}
    golden.case('maxPool', [ties], lambda x: F.max_pool1d(x, 3, 1), attributes)
    for size, to in (((1, 2, 3, 4), (6, 8)), ((1, 1, 5, 4), (3, 7)), ((1, 1, 6, 6), (2, 3))):
        golden.case('resize', [v.real(*size)], lambda x: F.interpolate(x, to, mode='nearest'), {'sizes': list(to), 'mode': 'nearest'})
        golden.case(
            'resize',
            [v.real(*size)],
            lambda x: F.interpolate(x, to, mode='bilinear', align_corners=False),
            {'sizes': list(to), 'mode': 'linear'},
        )
    golden.case('resize', [v.real(2, 1, 5)], lambda x: F.interpolate(x, 8, mode='linear', align_corners=False), {'sizes': [8], 'mode': 'linear'})
    golden.write()


if __name__ == '__main__':
    main()
