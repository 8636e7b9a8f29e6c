"""Gather and scatter with repeated places, of rows and of elements, sorting and the largest k."""
import torch

from common import Golden


def along(x, axis):
    """The same index list for every other axis, in the shape that scatter wants."""
    return lambda indices: indices.reshape([-1 if i == axis else 1 for i in range(x.dim())]).expand(
        [len(indices) if i == axis else n for i, n in enumerate(x.shape)]
    )


def main():
    golden = Golden('indexing')
    v = golden.values
    repeated = torch.tensor([1, 0, 1, 1, 4, 0])
    golden.case('gather', [v.real(5, 3), repeated], lambda x, i: x[i], {'axis': 0})
    golden.case('gather', [v.real(2, 5, 3), repeated], lambda x, i: torch.index_select(x, 1, i), {'axis': 1})
    golden.case('gather', [v.real(7, 4), v.whole(2, 5, below=7)], lambda x, i: torch.nn.functional.embedding(i, x), {'axis': 0})
    golden.case('gather', [v.real(7), v.whole(2, 3, below=7)], lambda x, i: x[i], {'axis': 0})
    for axis in (0, 1):
        x = v.real(4, 5)
        indices = v.whole(3, 5, below=4) if axis == 0 else v.whole(4, 3, below=5)
        golden.case('gatherElements', [x, indices], lambda x, i: torch.gather(x, axis, i), {'axis': axis})
    for axis in (0, 1):
        updates = v.real(6, 3) if axis == 0 else v.real(3, 6)
        place = along(updates, axis)

        def scatter(u, i):
            shape = [5 if a == axis else n for a, n in enumerate(u.shape)]
            return torch.zeros(shape, dtype=u.dtype).scatter_add(axis, place(i), u)

        golden.case('scatterAdd', [updates, repeated], scatter, {'axis': axis, 'size': 5})
    for descending in (False, True):
        for axis in (0, 1):
            golden.case(
                'sort',
                [v.distinct(4, 5)],
                lambda x: torch.sort(x, dim=axis, descending=descending, stable=True),
                {'axis': axis, 'descending': descending},
            )
    for largest in (True, False):
        golden.case(
            'topK',
            [v.distinct(3, 7)],
            lambda x: torch.topk(x, 3, dim=1, largest=largest, sorted=True),
            {'k': 3, 'axis': 1, 'largest': largest},
        )
    for axis in (0, 1):
        indices = v.whole(6, 3, below=4) if axis == 0 else v.whole(3, 6, below=4)

        def scatter_elements(u, i):
            shape = [4 if a == axis else n for a, n in enumerate(u.shape)]
            return torch.zeros(shape, dtype=u.dtype).scatter_add(axis, i, u)

        golden.case('scatterElements', [v.real(*indices.shape), indices], scatter_elements, {'axis': axis, 'size': 4})
    golden.write()


if __name__ == '__main__':
    main()
