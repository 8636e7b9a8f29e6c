"""Softmax, norms, attention and losses: what we make of primitives and PyTorch has whole."""
import torch
import torch.nn.functional as F

from common import Golden


def main():
    golden = Golden('composites')
    v = golden.values
    for axis in (-1, 0, 1):
        golden.case('softmax', [v.real(2, 3, 4, low=-6, high=6)], lambda x: torch.softmax(x, axis), {'axis': axis})
        golden.case('logSoftmax', [v.real(2, 3, 4, low=-6, high=6)], lambda x: torch.log_softmax(x, axis), {'axis': axis})
    large = torch.tensor([[60.0, -60.0, 59.0], [-90.0, -90.0, -91.0]], dtype=torch.float64)
    golden.case('softmax', [large], lambda x: torch.softmax(x, -1), {'axis': -1})
    golden.case('logSoftmax', [large], lambda x: torch.log_softmax(x, -1), {'axis': -1})
    norm = lambda x, w, *b: F.layer_norm(x, w.shape, w, *b, eps=1e-5)
    golden.case('layerNorm', [v.real(2, 3, 8), v.real(8), v.real(8)], norm, {'epsilon': 1e-5})
    golden.case('layerNorm', [v.real(4, 6), v.real(6)], norm, {'epsilon': 1e-5})
    cross = lambda reduction: lambda x, t: F.cross_entropy(x, t, reduction=reduction)
    golden.case('crossEntropyRows', [v.real(6, 5, low=-4, high=4), v.whole(6, below=5)], cross('none'))
    golden.case('crossEntropy', [v.real(6, 5, low=-4, high=4), v.whole(6, below=5)], cross('mean'))
    shapes = [v.real(2, 2, 5, 4) for _ in range(3)]
    golden.case('causalAttention', shapes, lambda q, k, w: F.scaled_dot_product_attention(q, k, w, is_causal=True))
    whole = [v.real(1, 2, 3, 4), v.real(1, 2, 6, 4), v.real(1, 2, 6, 4)]
    golden.case('attention', whole, F.scaled_dot_product_attention)
    golden.case('attention', whole, lambda q, k, w: F.scaled_dot_product_attention(q, k, w, scale=0.25), {'scale': 0.25})
    root = lambda x, w: F.rms_norm(x, w.shape, w, eps=1e-5)
    golden.case('rmsNorm', [v.real(2, 3, 8), v.real(8)], root, {'epsilon': 1e-5})
    golden.case('rmsNorm', [v.real(4, 6), v.real(6)], root, {'epsilon': 1e-5})
    skip = lambda a, b, w: (root(a + b, w), a + b)
    golden.case('skipRmsNorm', [v.real(2, 3, 8), v.real(2, 3, 8), v.real(8)], skip, {'epsilon': 1e-5})

    def turned(x, cos, sin):
        """Pairs (i, i + D/2) as complex numbers, times cos + i·sin."""
        half = x.shape[-1] // 2
        return torch.view_as_real(torch.complex(x[..., :half], x[..., half:]) * torch.complex(cos, sin)).transpose(-1, -2).flatten(-2)

    for rows in (1, 2):
        angles = [v.real(rows, 1, 3, 2, low=-1, high=1) for _ in range(2)]
        golden.case('rotate', [v.real(2, 2, 3, 4), *angles], turned, differentiate=(0,))
    for groups, shape in ((2, (2, 4, 3, 2)), (3, (2, 6)), (1, (1, 2, 5))):
        inputs = [v.real(*shape), v.real(shape[1]), v.real(shape[1])]
        group = lambda x, w, b: F.group_norm(x, groups, w, b, eps=1e-5)
        golden.case('groupNorm', inputs, group, {'groups': groups, 'epsilon': 1e-5})
    golden.write()


if __name__ == '__main__':
    main()
