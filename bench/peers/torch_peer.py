"""
PyTorch as a peer: GPT-2 training steps and decoding the way a competent PyTorch user writes them, driven by
JSON lines on stdin and answered on stdout (bench/protocol.ts has the messages). It loads our initial
parameters and batches, so that its losses can be compared with ours; it knows nothing else of Inkstone.

    python torch_peer.py            speak the protocol
    python torch_peer.py --measure  time this machine: eager and torch.compile on the standard shapes
"""
import json
import math
import os
import resource
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

from torch_images import PictureMaking, PictureTraining


class Attention(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width, bias=bias)
        self.c_proj = nn.Linear(width, width, bias=bias)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.c_attn(x).split(width, dim=2)
        q, k, v = (part.view(batch, length, self.heads, width // self.heads).transpose(1, 2) for part in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(batch, length, width))

    def step(self, x, keys, values, at):
        """One new position for every sequence; `keys` and `values` are preallocated and written in place."""
        batch, _, width = x.shape
        q, k, v = self.c_attn(x).split(width, dim=2)
        q, k, v = (part.view(batch, -1, self.heads, width // self.heads).transpose(1, 2) for part in (q, k, v))
        end = at + x.shape[1]
        keys[:, :, at:end] = k
        values[:, :, at:end] = v
        y = F.scaled_dot_product_attention(q, keys[:, :, :end], values[:, :, :end], is_causal=at == 0)
        return self.c_proj(y.transpose(1, 2).reshape(batch, -1, width))


class FeedForward(nn.Module):
    def __init__(self, width, bias):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=bias)
        self.c_proj = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate='tanh'))


class Block(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, bias=bias)
        self.attn = Attention(width, heads, bias)
        self.ln_2 = nn.LayerNorm(width, bias=bias)
        self.mlp = FeedForward(width, bias)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))

    def step(self, x, keys, values, at):
        x = x + self.attn.step(self.ln_1(x), keys, values, at)
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, layers, heads, width, context, vocabulary, bias=False):
        super().__init__()
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(context, width)
        self.h = nn.ModuleList([Block(width, heads, bias) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width, bias=bias)
        self.register_buffer('positions', torch.arange(context), persistent=False)

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe(self.positions[: tokens.shape[1]])
        for block in self.h:
            x = block(x)
        logits = F.linear(self.ln_f(x), self.wte.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))

    def step(self, tokens, cache, at):
        """Logits at the last of `tokens` [batch, new]; `cache` is [(keys, values)] per layer."""
        x = self.wte(tokens) + self.wpe(self.positions[at : at + tokens.shape[1]])
        for block, (keys, values) in zip(self.h, cache):
            x = block.step(x, keys, values, at)
        return F.linear(self.ln_f(x[:, -1]), self.wte.weight)


def model_from(config):
    names = ('layers', 'heads', 'width', 'context', 'vocabulary', 'bias')
    return GPT(**{name: config[name] for name in names if name in config})


def load_parameters(model, path, manifest):
    """Our layout is [in, out] for linear layers, PyTorch's is [out, in]."""
    flat = torch.from_file(path, size=sum(math.prod(p['shape']) for p in manifest), dtype=torch.float32).clone()
    found = dict(model.named_parameters())
    at = 0
    with torch.no_grad():
        for p in manifest:
            size = math.prod(p['shape'])
            value = flat[at : at + size].view(p['shape'])
            at += size
            target = found.pop(p['name'])
            linear = len(p['shape']) == 2 and p['name'].startswith('h.')
            target.copy_(value.t() if linear else value)
    if found:
        raise ValueError(f'no values for {sorted(found)}')


def adamw(model, optimiser):
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{'params': matrices, 'weight_decay': optimiser['weightDecay']}, {'params': vectors, 'weight_decay': 0.0}]
    betas = (optimiser['beta1'], optimiser['beta2'])
    return torch.optim.AdamW(groups, lr=optimiser['rate'], betas=betas, eps=optimiser['epsilon'], fused=True)


class Training:
    def __init__(self, call, compiled):
        self.model = model_from(call['model'])
        if 'parameters' in call:
            load_parameters(self.model, call['parameters']['file'], call['parameters']['tensors'])
        batch, length, count = call['batch'], call['time'], call['batches']['count']
        flat = torch.from_file(call['batches']['file'], size=count * 2 * batch * length, dtype=torch.int32)
        self.batches = flat.view(count, 2, batch, length).long()
        self.parameters = list(self.model.parameters())
        self.optimiser = adamw(self.model, call['optimiser'])
        self.clip = call['optimiser'].get('clip')
        self.forward = torch.compile(self.model) if compiled else self.model
        self.at = 0

    def step(self):
        tokens, targets = self.batches[self.at % len(self.batches)]
        self.at += 1
        loss = self.forward(tokens, targets)
        loss.backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip, foreach=True)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss.item()

    def run(self, count):
        seconds, losses = [], []
        for _ in range(count):
            start = time.perf_counter()
            losses.append(self.step())
            seconds.append(time.perf_counter() - start)
        return {'seconds': seconds, 'losses': losses}


class Decoding:
    """Greedy decoding with a preallocated key-value cache: `run(1)` is one whole generation."""

    def __init__(self, call):
        self.model = model_from(call['model'])
        load_parameters(self.model, call['parameters']['file'], call['parameters']['tensors'])
        self.prompt = torch.tensor(call['prompt'], dtype=torch.long)
        self.tokens = call['tokens']
        config = call['model']
        batch, heads, dim = len(self.prompt), config['heads'], config['width'] // config['heads']
        shape = (batch, heads, config['context'], dim)
        self.cache = [(torch.zeros(shape), torch.zeros(shape)) for _ in range(config['layers'])]

    @torch.inference_mode()
    def generate(self):
        logits = self.model.step(self.prompt, self.cache, 0)
        made = []
        for i in range(self.tokens):
            token = logits.argmax(dim=1, keepdim=True)
            made.append(token)
            if i + 1 < self.tokens:
                logits = self.model.step(token, self.cache, self.prompt.shape[1] + i)
        return torch.cat(made, dim=1)

    def run(self, count):
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            made = self.generate()
            seconds.append(time.perf_counter() - start)
        return {'seconds': seconds, 'tokens': made[0].tolist()}


class Product:
    """float32 matrix product m×k by k×n, into memory that is kept."""

    def __init__(self, call):
        m, k, n = call['shape']
        self.a, self.b, self.out = torch.rand(m, k), torch.rand(k, n), torch.empty(m, n)

    def run(self, count):
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            torch.mm(self.a, self.b, out=self.out)
            seconds.append(time.perf_counter() - start)
        return {'seconds': seconds}


class Bandwidth:
    """`read`: the sum of a large array (4 bytes an element). `triad`: a + s·b into c (McCalpin 1995, 12 bytes)."""

    def __init__(self, call):
        size, self.kind = call['elements'], call['kind']
        self.a = torch.rand(size)
        if self.kind == 'triad':
            self.b, self.out = torch.rand(size), torch.empty(size)

    def run(self, count):
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            if self.kind == 'read':
                self.a.sum()
            else:
                torch.add(self.a, self.b, alpha=3.0, out=self.out)
            seconds.append(time.perf_counter() - start)
        return {'seconds': seconds}


WORK = {
    'train-text': Training,
    'decode': Decoding,
    'gemm': Product,
    'bandwidth': Bandwidth,
    'train-image': PictureTraining,
    'generate-image': PictureMaking,
}


def prepare(call):
    made = WORK[call['work']]
    return made(call, bool(call.get('compiled'))) if made is Training else made(call)


def describe():
    return {
        'name': 'PyTorch',
        'version': torch.__version__,
        'threads': torch.get_num_threads(),
        'facts': {'mkl': torch.backends.mkl.is_available(), 'onednn': torch.backends.mkldnn.is_available()},
    }


def serve():
    out = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)  # what libraries print must not get between the answers
    prepared = {}
    for line in sys.stdin:
        call = json.loads(line)
        try:
            if call['do'] == 'describe':
                value = describe()
            elif call['do'] == 'prepare':
                prepared[call['name']] = prepare(call)
                value = {}
            elif call['do'] == 'run':
                value = prepared[call['name']].run(call['count'])
            elif call['do'] == 'memory':
                value = {'peak': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
            elif call['do'] == 'free':
                prepared.pop(call['name'], None)
                value = {}
            else:
                raise ValueError(f'unknown: {call["do"]}')
            answer = {'id': call['id'], 'value': value}
        except Exception as error:
            answer = {'id': call['id'], 'error': f'{type(error).__name__}: {error}'}
        out.write(json.dumps(answer) + '\n')


def measure():
    import tempfile

    shapes = {
        'nanogpt-cpu': (dict(layers=4, heads=4, width=128, context=64, vocabulary=65), 12, 60),
        'nanogpt-10m': (dict(layers=6, heads=6, width=384, context=256, vocabulary=65), 8, 10),
    }
    optimiser = dict(rate=1e-3, beta1=0.9, beta2=0.99, epsilon=1e-8, weightDecay=0.1, clip=1.0)
    only = sys.argv[2:] or ['eager', 'compile']
    for name, (config, batch, steps) in shapes.items():
        with tempfile.NamedTemporaryFile() as file:
            torch.randint(0, 65, (8, 2, batch, config['context']), dtype=torch.int32).numpy().tofile(file.name)
            for mode in only:
                torch.manual_seed(1)
                call = dict(model=config, batch=batch, time=config['context'], batches=dict(file=file.name, count=8), optimiser=optimiser)
                start = time.perf_counter()
                work = Training(call, mode == 'compile')
                work.run(3)
                warm = time.perf_counter() - start
                seconds = sorted(work.run(steps)['seconds'])
                print(f'{name} {mode}: median {seconds[steps // 2] * 1e3:.1f} ms, best {seconds[0] * 1e3:.1f} ms (warm-up {warm:.1f} s)')


if __name__ == '__main__':
    torch.set_num_threads(int(os.environ.get('INKSTONE_THREADS', '2')))
    torch.set_flush_denormal(True)
    if sys.argv[1:2] == ['--measure']:
        measure()
    else:
        serve()
