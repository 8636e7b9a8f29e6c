"""LPIPS without learned weights (normalize_tensor, spatial mean, sum over layers, as the authors' code) on a small LeNet, from PyTorch in float64; path lengths of a linear generator."""
import json
import numpy as np
import torch
import torch.nn.functional as F

SEED = 30
rng = np.random.default_rng(SEED)
f4 = lambda *shape: np.round(rng.normal(size=shape) * 0.3, 4)
p = {
    "conv1.weight": f4(3, 1, 5, 5), "conv1.bias": f4(3),
    "conv2.weight": f4(4, 3, 5, 5), "conv2.bias": f4(4),
    "fc1.weight": f4(6, 4), "fc1.bias": f4(6),
    "fc2.weight": f4(3, 6), "fc2.bias": f4(3),
}
t = {k: torch.tensor(v, dtype=torch.float64) for k, v in p.items()}
one, other = (np.round(rng.uniform(size=(3, 1, 16, 16)), 4) for _ in range(2))


def layers(x):
    x = torch.tensor(x, dtype=torch.float64)
    first = F.relu(F.conv2d(x, t["conv1.weight"], t["conv1.bias"]))
    second = F.relu(F.conv2d(F.max_pool2d(first, 2), t["conv2.weight"], t["conv2.bias"]))
    features = F.relu(F.linear(F.max_pool2d(second, 2).flatten(1), t["fc1.weight"], t["fc1.bias"]))
    return [first, second, features[:, :, None, None]]


def normalize_tensor(x, eps=1e-10):
    return x / (torch.sqrt(torch.sum(x**2, dim=1, keepdim=True)) + eps)


def lpips(a, b):
    total = 0
    for x, y in zip(layers(a), layers(b)):
        total = total + ((normalize_tensor(x) - normalize_tensor(y)) ** 2).sum(1, keepdim=True).mean([2, 3], keepdim=True)
    return total.flatten()


# Path length of G(z) = A z with d = squared distance, as stylegan2's evaluation: slerp and lerp, percentiles lower and higher.
def slerp(a, b, t):
    # Great circle of vectors that need not have length 1 (Shoemake).
    omega = np.arccos(np.clip((a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)), -1, 1))
    s = np.sin(omega)
    return (np.sin((1 - t) * omega) / s)[:, None] * a + (np.sin(t * omega) / s)[:, None] * b


A = f4(5, 4)
za, zb = f4(40, 4) * 3, f4(40, 4) * 3
parts = np.round(rng.uniform(size=40), 6)
eps = 1e-4


def path_length(go):
    g0, g1 = go(parts) @ A.T, go(parts + eps) @ A.T
    d = ((g0 - g1) ** 2).sum(1) / eps**2
    lo, hi = np.percentile(d, 1, method="lower"), np.percentile(d, 99, method="higher")
    return float(d[(d >= lo) & (d <= hi)].mean())


picture = rng.integers(0, 256, size=(1, 3, 5, 5))
resized = F.interpolate(torch.tensor(picture, dtype=torch.float64), size=(9, 7), mode="bilinear", align_corners=False)

print(json.dumps({
    "made_with": f"torch {torch.__version__}, numpy {np.__version__}, seed {SEED}",
    "parameters": {k: v.flatten().tolist() for k, v in p.items()},
    "one": one.flatten().tolist(), "other": other.flatten().tolist(),
    "distance": lpips(one, other).tolist(),
    "path": {
        "matrix": A.tolist(), "from": za.tolist(), "to": zb.tolist(), "parts": parts.tolist(),
        "sphere": path_length(lambda t: slerp(za, zb, t)),
        "line": path_length(lambda t: za + t[:, None] * (zb - za)),
    },
    "resize": {"picture": picture.flatten().tolist(), "resized": [round(v, 6) for v in resized.flatten().tolist()]},
}))
