"""Matrices in 8 and 4 bits, in blocks with a scale each: back to numbers, and the product with them."""
import torch
import torch.nn.functional as F

from common import Golden


def numbers(blocks, scales, bits, inner):
    """[rows, blocks, bytes] and [rows, blocks] → [rows, inner]; of two halves of a byte the lower comes first."""
    whole = blocks if bits == 8 else torch.stack([blocks & 15, blocks >> 4], -1).flatten(-2)
    return ((whole.double() - 2 ** (bits - 1)) * scales.unsqueeze(-1)).flatten(-2)[..., :inner]


def main():
    golden = Golden('quantised')
    v = golden.values
    # The second of each fills its last block in part.
    for bits, block, inner in ((8, 16, 32), (8, 16, 40), (4, 16, 32), (4, 32, 40)):
        count = -(-inner // block)
        blocks = v.whole(3, count, block * bits // 8, below=256).to(torch.uint8)
        scales = v.real(3, count, low=0, high=1)
        layout = {'bits': bits, 'block': block, 'inner': inner}
        golden.case('dequantise', [blocks, scales], lambda b, s: numbers(b, s, bits, inner), layout, differentiate=())
        product = lambda x, b, s: F.linear(x, numbers(b, s, bits, inner))
        golden.case('quantisedMatmul', [v.real(2, 2, inner), blocks, scales], product, layout, differentiate=(0,))
    golden.write()


if __name__ == '__main__':
    main()
