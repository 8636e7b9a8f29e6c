"""
What the golden scripts share: inputs that print short and are exact in float32, PyTorch's answers and gradients
in float64, and the file format (README.md). Knows no op.
"""
import json
import os
import sys

import torch

SEED = 20
FOLDER = os.path.normpath(os.path.join(os.path.dirname(__file__), '..', '..', 'src', 'program', 'ops', 'golden'))
DTYPES = {torch.float64: 'f32', torch.float32: 'f32', torch.int64: 'i32', torch.int32: 'i32', torch.uint8: 'u8', torch.bool: 'bool'}


class Values:
    """Random inputs: whole multiples of 1/64, so that they are the same in float32 and float64."""

    def __init__(self, seed=SEED):
        self.generator = torch.Generator().manual_seed(seed)

    def real(self, *shape, low=-2.0, high=2.0):
        steps = torch.randint(int(low * 64), int(high * 64) + 1, shape, generator=self.generator)
        return steps.double() / 64

    def whole(self, *shape, below):
        return torch.randint(0, below, shape, generator=self.generator)

    def distinct(self, *shape):
        """No two alike: for what depends on an order."""
        size = 1
        for n in shape:
            size *= n
        return (torch.randperm(size, generator=self.generator).double() - size // 2).reshape(shape) / 16


def number(value):
    """Eight significant digits: float32 has seven."""
    if value != value or value in (float('inf'), float('-inf')):
        raise ValueError('a golden value is not finite')
    short = float(f'{value:.8g}')
    return int(short) if short == int(short) and abs(short) < 1e15 else short


def tensor(value):
    flat = value.detach().reshape(-1).tolist()
    whole = value.dtype in (torch.int64, torch.int32, torch.uint8, torch.bool)
    return {
        'dtype': DTYPES[value.dtype],
        'shape': list(value.shape),
        'data': [int(x) for x in flat] if whole else [number(x) for x in flat],
    }


class Golden:
    """One file: a family of cases."""

    def __init__(self, family):
        self.family = family
        self.values = Values()
        self.cases = []

    def case(self, op, inputs, function, attributes=None, differentiate=None):
        """
        Adds the outputs of `function(*inputs)` and, for random cotangents, the gradients of the inputs named in
        `differentiate` (positions; default: every real input; () for none).
        """
        real = [i for i, x in enumerate(inputs) if x.dtype == torch.float64]
        wanted = real if differentiate is None else list(differentiate)
        leaves = [x.clone().requires_grad_(i in wanted) for i, x in enumerate(inputs)]
        made = function(*leaves)
        outputs = list(made) if isinstance(made, (tuple, list)) else [made]
        flowing = [y for y in outputs if y.requires_grad]
        cotangents = {id(y): self.values.real(*y.shape, low=-1, high=1) for y in flowing}
        gradients = [None] * len(inputs)
        if flowing and wanted:
            found = torch.autograd.grad(
                flowing, [leaves[i] for i in wanted], [cotangents[id(y)] for y in flowing], allow_unused=True
            )
            for i, g in zip(wanted, found):
                gradients[i] = tensor(torch.zeros_like(inputs[i]) if g is None else g)
        self.cases.append(
            {
                'op': op,
                'attributes': attributes or {},
                'inputs': [tensor(x) for x in inputs],
                'outputs': [tensor(y) for y in outputs],
                'cotangents': [tensor(cotangents[id(y)]) if id(y) in cotangents else None for y in outputs],
                'gradients': gradients,
            }
        )

    def write(self, **more):
        os.makedirs(FOLDER, exist_ok=True)
        path = os.path.join(FOLDER, f'{self.family}.json')
        head = {'family': self.family, 'torch': torch.__version__.split('+')[0], 'seed': SEED, **more}
        lines = ',\n'.join(json.dumps(case, separators=(',', ':')) for case in self.cases)
        text = json.dumps(head)[:-1] + ', "cases": [\n' + lines + '\n]}\n'
        with open(path, 'w') as file:
            file.write(text)
        print(f'{self.family}: {len(self.cases)} cases, {len(text) / 1000:.1f} kB', file=sys.stderr)
