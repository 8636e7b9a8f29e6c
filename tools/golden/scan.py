"""
Recurrence: an LSTM over five steps (PyTorch's gate order: input, forget, cell, output) and a linear one with a
decay at each step. Inputs of `lstm`: x [time, batch, in], h, c [batch, hidden], weights [4·hidden, in] and
[4·hidden, hidden], bias [4·hidden]; outputs: h of every step, last h, last c.
"""
import torch

from common import Golden


def lstm(x, h, c, from_input, from_hidden, bias):
    results = []
    for row in x:
        gates = row @ from_input.T + h @ from_hidden.T + bias
        i, f, g, o = gates.chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        results.append(h)
    return torch.stack(results), h, c


def check(x, h, c, from_input, from_hidden, bias):
    """The loop above is PyTorch's own LSTM."""
    theirs = torch.nn.LSTM(x.shape[2], h.shape[1]).double()
    with torch.no_grad():
        for name, value in (('weight_ih_l0', from_input), ('weight_hh_l0', from_hidden), ('bias_ih_l0', bias)):
            getattr(theirs, name).copy_(value)
        theirs.bias_hh_l0.zero_()
        all_h, _ = theirs(x, (h[None], c[None]))
    torch.testing.assert_close(all_h, lstm(x, h, c, from_input, from_hidden, bias)[0])


def decay(x, s, rate):
    results = []
    for row in x:
        s = s * rate + row
        results.append(s)
    return torch.stack(results), s


def main():
    golden = Golden('scan')
    v = golden.values
    inputs = [v.real(5, 2, 3), v.real(2, 4), v.real(2, 4), v.real(16, 3, low=-1, high=1), v.real(16, 4, low=-1, high=1), v.real(16)]
    check(*inputs)
    golden.case('lstm', inputs, lstm)
    golden.case('decay', [v.real(6, 3), v.real(3), v.real(3, low=0, high=1)], decay)
    golden.write()


if __name__ == '__main__':
    main()
