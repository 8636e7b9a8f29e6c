"""
Five steps of each optimiser. Inputs: the parameter, then one gradient a step; outputs: the parameter after each
step. Matrices stand as [in, out], as ours do: Muon, whose rate depends on the orientation, sees them turned.
Muon's orthogonalisation runs in float64 here instead of PyTorch's bfloat16.
"""
import sys

import torch

from common import Golden

STEPS = 5


class InFull:
    """Stands for `torch` inside Muon: where it asks for bfloat16 it gets float64."""

    def __getattr__(self, name):
        return torch.float64 if name == 'bfloat16' else getattr(torch, name)


def run(make, turned=False):
    def steps(p, *gradients):
        q = p.detach().clone()
        parameter = torch.nn.Parameter(q.T.contiguous() if turned else q)
        optimiser = make([parameter])
        results = []
        for g in gradients:
            parameter.grad = g.T.contiguous() if turned else g.clone()
            optimiser.step()
            after = parameter.detach().clone()
            results.append(after.T.contiguous() if turned else after)
        return results

    return steps


def main():
    golden = Golden('optimisers')
    v = golden.values

    def add(op, shape, make, attributes, turned=False):
        inputs = [v.real(*shape), *(v.real(*shape) for _ in range(STEPS))]
        golden.case(op, inputs, run(make, turned), attributes, ())

    adamw = {'rate': 0.01, 'beta1': 0.9, 'beta2': 0.99, 'epsilon': 1e-8}
    for decay in (0.0, 0.1):
        add(
            'adamw',
            (4, 3),
            lambda ps: torch.optim.AdamW(ps, lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=decay),
            {**adamw, 'weightDecay': decay},
        )
    for momentum, nesterov, decay in ((0.0, False, 0.0), (0.9, False, 0.0), (0.9, True, 0.01)):
        add(
            'sgd',
            (4, 3),
            lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=decay),
            {'rate': 0.1, 'momentum': momentum, 'nesterov': nesterov, 'weightDecay': decay},
        )
    if hasattr(torch.optim, 'Muon'):
        sys.modules['torch.optim._muon'].torch = InFull()
        for shape in ((4, 6), (6, 4), (4, 4)):
            add(
                'muon',
                shape,
                lambda ps: torch.optim.Muon(ps, lr=0.02, weight_decay=0.1, momentum=0.95, nesterov=True, adjust_lr_fn='original'),
                {'rate': 0.02, 'momentum': 0.95, 'weightDecay': 0.1},
                turned=True,
            )
        sys.modules['torch.optim._muon'].torch = torch

    def clip(*gradients):
        held = [torch.nn.Parameter(torch.zeros_like(g)) for g in gradients]
        for p, g in zip(held, gradients):
            p.grad = g.clone()
        norm = torch.nn.utils.clip_grad_norm_(held, 1.0)
        return [norm, *(p.grad for p in held)]

    golden.case('clipByNorm', [v.real(2, 3), v.real(4)], clip, {'limit': 1.0}, ())
    small = [v.real(2, 2) / 64, v.real(3) / 64]
    golden.case('clipByNorm', small, clip, {'limit': 1.0}, ())
    golden.write()


if __name__ == '__main__':
    main()
