"""Matrix products: plain, batched, broadcast, and with one size of 1."""
import torch

from common import Golden

SHAPES = [
    ((3, 4), (4, 5)),
    ((1, 4), (4, 1)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (1, 3, 4, 2)),
    ((2, 1, 4), (5, 1, 4, 3)),
]


def main():
    golden = Golden('linear')
    for a, b in SHAPES:
        golden.case('matmul', [golden.values.real(*a), golden.values.real(*b)], torch.matmul)
    golden.write()


if __name__ == '__main__':
    main()
