"""Sizes against the order-0 entropy and general-purpose compressors."""

from __future__ import annotations

import zlib

import pytest
import torch
import zstandard

#: What encoded streams may take above the order-0 entropy, by tokens; the models are counted apart.
ALLOWED = {256: 0.02, 2048: 0.006}


def entropy_bytes(symbols):
    """Order-0 entropy per layer and channel."""
    layers, tokens, channels = symbols.shape
    which = torch.arange(layers * channels).view(layers, 1, channels) * 256
    counts = torch.bincount((symbols + which).flatten(), minlength=layers * channels * 256)
    p = counts[counts > 0].double() / tokens
    return -float((p * p.log2()).sum()) * tokens / 8


def quantise(kv, bins):
    """CacheGen's: the largest of each layer and token spans the bins."""
    most = kv.abs().amax(-1, keepdim=True)
    return ((kv / most + 1) * (bins - 1) / 2).round().to(torch.uint8)


def to_int8(kv):
    """Per-channel symmetric int8."""
    scale = kv.abs().amax(1, keepdim=True) / 127
    return (kv / scale).round().to(torch.int8).view(torch.uint8)


def sizes(coder, symbols, bins, exact=False):
    model = coder.entropy_model(symbols, bins, exact=exact)
    data = coder.encode(symbols, model)
    out = torch.empty_like(symbols, memory_format=torch.contiguous_format)
    coder.decode(data, model, out)
    assert torch.equal(out, symbols)
    return len(data), model.nbytes


@pytest.mark.parametrize("tokens", [256, 2048])
@pytest.mark.parametrize("kind", ["16 bins", "32 bins", "int8"])
def test_transformer_kv(coder, transformer_kv, tokens, kind, record_property):
    """Encoded, beside zlib -9 and zstd -19 on the same bytes; smaller than both.

    Of the first layer's values the margin is reported only: without positions in them they are a
    function of the word alone, and zstd finds words that come again.
    """
    kv = transformer_kv[:, :tokens]
    bins = {"16 bins": 16, "32 bins": 32, "int8": 256}[kind]
    symbols = (to_int8(kv) if kind == "int8" else quantise(kv, bins)).contiguous()
    first_values = symbols[1:2]
    others = torch.cat([symbols[:1], symbols[2:]])
    for part, of in (("first layer's values", first_values), ("all else", others)):
        streams, model = sizes(coder, of, bins)
        bound = entropy_bytes(of)
        raw = of.numpy().tobytes()
        zlib_bytes = len(zlib.compress(raw, 9))
        zstd_bytes = len(zstandard.ZstdCompressor(level=19).compress(raw))
        print(
            f"{kind}, {tokens} tokens, {part}: order-0 {8 * bound / len(raw):.3f} bits a symbol; "
            f"encoded {streams / bound - 1:+.2%}, zlib -9 {zlib_bytes / bound - 1:+.1%}, "
            f"zstd -19 {zstd_bytes / bound - 1:+.1%}; models apart {model / bound:.1%}"
        )
    record_property("above_entropy", streams / bound - 1)
    assert streams < zlib_bytes
    assert streams < zstd_bytes
    streams, _ = sizes(coder, symbols, bins)
    assert streams <= entropy_bytes(symbols) * (1 + ALLOWED[tokens])


@pytest.mark.parametrize("tokens", [256, 2048])
@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("bins", [16, 32, 64, 256])
def test_normal_symbols(coder, tokens, sigma, bins):
    random = torch.Generator().manual_seed(bins + tokens)
    values = torch.randn(2, tokens, 256, generator=random) * sigma * bins + bins / 2
    symbols = values.clamp(0, bins - 1).to(torch.uint8)
    bound = entropy_bytes(symbols)
    streams, _ = sizes(coder, symbols, bins)
    assert streams <= bound * (1 + ALLOWED[tokens]), f"{streams / bound - 1:+.3%}"


def draw(kind, shape, bins, random):
    """Symbols spread as ``kind`` says, of two bits of entropy and more."""
    middle = bins / 2
    if kind == "uniform":
        return torch.randint(bins, shape, generator=random).to(torch.uint8)
    if kind == "laplace":
        u = torch.rand(shape, generator=random) - 0.5
        values = middle - bins / 10 * u.sign() * (1 - 2 * u.abs()).clamp(min=1e-6).log()
    elif kind == "one-sided":
        values = -(1 - torch.rand(shape, generator=random)).log() * bins / 8
    elif kind == "two humps":
        side = torch.randint(2, shape, generator=random) * 2 - 1
        values = middle + side * bins / 4 + torch.randn(shape, generator=random) * bins / 12
    else:  # every channel its own middle and width
        width = torch.rand(shape[2], generator=random) * bins / 6 + bins / 12
        values = torch.randn(shape, generator=random) * width
        values += middle + torch.randn(shape[2], generator=random) * bins / 8
    return values.clamp(0, bins - 1).to(torch.uint8)


@pytest.mark.parametrize("kind", ["uniform", "laplace", "one-sided", "two humps", "channels"])
@pytest.mark.parametrize("bins", [16, 32, 256])
@pytest.mark.parametrize(
    "shape",
    [(3, 256, 128), (1, 256, 576), (2, 256, 1000), (1, 256, 4096), (2, 2048, 128), (1, 2048, 1000)],
    ids=str,
)
def test_shapes_and_spreads(coder, shape, bins, kind):
    symbols = draw(kind, shape, bins, torch.Generator().manual_seed(bins))
    bound = entropy_bytes(symbols)
    streams, _ = sizes(coder, symbols, bins)
    assert streams <= bound * (1 + ALLOWED[shape[1]]), f"{streams / bound - 1:+.3%}"


@pytest.mark.parametrize("bins", [3, 32, 256])
def test_exact_models_are_smaller(coder, bins):
    random = torch.Generator().manual_seed(bins)
    symbols = (torch.randn(1, 2048, 128, generator=random) * 0.8 + bins / 2).clamp(0, bins - 1)
    symbols = symbols.to(torch.uint8)
    bound = entropy_bytes(symbols)
    loose, _ = sizes(coder, symbols, bins)
    exact, _ = sizes(coder, symbols, bins, exact=True)
    assert exact <= loose
    assert exact <= bound * 1.008, f"{exact / bound - 1:+.3%}"


def test_one_symbol_costs_nothing(coder):
    symbols = torch.full((4, 2048, 256), 7, dtype=torch.uint8)
    streams, _ = sizes(coder, symbols, 32, exact=True)
    assert streams < symbols.numel() // 200  # states, directory, header
