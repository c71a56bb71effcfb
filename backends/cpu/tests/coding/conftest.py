"""The two coders, the instruction sets of this processor, and KV to encode."""

from __future__ import annotations

import pytest
import torch

from accel_cpu._native import coding as native
from accel_cpu.coding import CpuKVCoding
from accel_cpu.reference.coding import ReferenceKVCoding

# The last that is there is the best: it stays chosen.
SETS = [name for name in ("portable", "avx2", "avx512") if native.use_kernels(name)]


@pytest.fixture(scope="session")
def coder():
    return CpuKVCoding()


@pytest.fixture(scope="session")
def oracle():
    return ReferenceKVCoding()


@pytest.fixture(params=SETS)
def instruction_set(request):
    before = native.kernels()
    assert native.use_kernels(request.param)
    yield request.param
    assert native.use_kernels(before)


@pytest.fixture(scope="session")
def transformer_kv():
    """Keys and values of a small transformer, ``[2 * layers, tokens, channels]`` float32.

    Weights come from a fixed seed, with channels of very different scale as trained models have;
    the prompt repeats words as text does. Keys are rotated by their positions.
    """
    layers, width, heads, tokens = 4, 256, 4, 2048
    random = torch.Generator().manual_seed(20240521)

    def normal(*shape, scale=1.0):
        return torch.randn(*shape, generator=random) * scale

    words = (torch.rand(tokens, generator=random) ** 4 * 2000).long()
    x = normal(2000, width)[words]
    scales = torch.exp(normal(layers, 2, width, scale=0.7))
    position = torch.arange(tokens)[:, None]
    half = width // heads // 2
    angle = position * 10000.0 ** (-torch.arange(half) / half)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    mask = torch.full((tokens, tokens), float("-inf")).triu(1)
    kept = []
    for layer in range(layers):
        h = torch.nn.functional.layer_norm(x, (width,))
        q, k, v = (h @ normal(width, width, scale=width**-0.5) for _ in range(3))
        k, v = k * scales[layer, 0] + normal(width, scale=0.5), v * scales[layer, 1]

        def rotate(y):
            a, b = y.view(tokens, heads, 2, half).unbind(2)
            return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

        k = rotate(k)
        scores = torch.einsum("qhd,khd->hqk", rotate(q), k) / (2 * half) ** 0.5 + mask
        mixed = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v.view(tokens, heads, 2 * half))
        x = x + mixed.reshape(tokens, width) @ normal(width, width, scale=width**-0.5)
        h = torch.nn.functional.layer_norm(x, (width,))
        hidden = torch.nn.functional.gelu(h @ normal(width, 4 * width, scale=width**-0.5))
        x = x + hidden @ normal(4 * width, width, scale=(4 * width) ** -0.5)
        kept += [k.reshape(tokens, width), v]
    return torch.stack(kept)
