"""Elementwise ops, with broadcasting, ties and kinks."""
import torch

from common import Golden

UNARY = {
    'neg': torch.neg,
    'abs': torch.abs,
    'sign': torch.sign,
    'exp': torch.exp,
    'sin': torch.sin,
    'cos': torch.cos,
    'tanh': torch.tanh,
    'erf': torch.erf,
    'sigmoid': torch.sigmoid,
    'relu': torch.relu,
    'softplus': torch.nn.functional.softplus,
    'silu': torch.nn.functional.silu,
    'leakyRelu': lambda x: torch.nn.functional.leaky_relu(x, 0.2),
    'square': torch.square,
}
POSITIVE = {'log': torch.log, 'sqrt': torch.sqrt, 'reciprocal': torch.reciprocal}
ROUNDING = {'floor': torch.floor, 'ceil': torch.ceil, 'round': torch.round}
BINARY = {'add': torch.add, 'sub': torch.sub, 'mul': torch.mul, 'maximum': torch.maximum, 'minimum': torch.minimum}


def main():
    golden = Golden('elementwise')
    v = golden.values
    for op, function in UNARY.items():
        # relu and leakyRelu have a kink at 0, where ours takes the middle as maximum does; it is left out.
        x = v.real(3, 4)
        golden.case(op, [torch.where(x == 0, 0.5, x)], function)
    for op, function in POSITIVE.items():
        golden.case(op, [v.real(3, 4, low=0.125, high=4)], function)
    for op, function in ROUNDING.items():
        half = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.25, -3.75], dtype=torch.float64)
        golden.case(op, [half], function, differentiate=())
    for op, function in BINARY.items():
        golden.case(op, [v.real(2, 3, 4), v.real(2, 3, 4)], function)
        golden.case(op, [v.real(3, 1), v.real(2, 1, 4)], function)
        golden.case(op, [v.real(2, 3), v.real()], function)
    ties = torch.tensor([[1.0, -2.0, 3.0], [0.0, 0.5, -1.0]], dtype=torch.float64)
    other = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.25, -1.0]], dtype=torch.float64)
    golden.case('maximum', [ties, other], torch.maximum)
    golden.case('minimum', [ties, other], torch.minimum)
    away = lambda *shape: torch.where(v.real(*shape) < 0, -1.0, 1.0) * v.real(*shape, low=0.5, high=2)
    golden.case('div', [v.real(2, 3), away(2, 3)], torch.div)
    golden.case('div', [v.real(4, 1), away(3)], torch.div)
    golden.case('pow', [v.real(2, 3, low=0.25, high=2), v.real(2, 3)], torch.pow)
    golden.case('pow', [v.real(3, 1, low=0.25, high=2), v.real(2)], torch.pow)
    golden.case('mod', [v.real(2, 4), away(2, 4)], torch.remainder, differentiate=())
    a, b = v.real(3, 4), v.real(3, 4)
    b = torch.where(v.real(3, 4) > 0.5, a, b)
    for op, function in {'equal': torch.eq, 'less': torch.lt, 'lessEqual': torch.le, 'greater': torch.gt, 'greaterEqual': torch.ge, 'notEqual': torch.ne}.items():
        golden.case(op, [a, b], function, differentiate=())
    left, right = v.real(5) > 0, v.real(5) > 0
    golden.case('logicalAnd', [left, right], torch.logical_and)
    golden.case('logicalOr', [left, right], torch.logical_or)
    golden.case('logicalNot', [left], torch.logical_not)
    golden.case('where', [v.real(2, 3) > 0, v.real(2, 3), v.real(2, 3)], torch.where)
    golden.case('where', [v.real(2, 1) > 0, v.real(3), v.real(2, 3)], torch.where)
    golden.case('geluTanh', [v.real(3, 5, low=-4, high=4)], lambda x: torch.nn.functional.gelu(x, approximate='tanh'))
    golden.case('geluErf', [v.real(3, 5, low=-4, high=4)], torch.nn.functional.gelu)
    golden.case('cast', [v.real(2, 6)], lambda x: x.to(torch.int32), {'to': 'i32'}, differentiate=())
    golden.case('cast', [v.whole(2, 3, below=9)], lambda x: x.double(), {'to': 'f32'})
    golden.case('stopGradient', [v.real(2, 3)], lambda x: (x.detach(), x.detach() * x))
    golden.write()


if __name__ == '__main__':
    main()
