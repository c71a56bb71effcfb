"""Both coders write the same bytes and read them back, whatever the symbols are."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel.errors import ArgumentError
from accel.kv.codec_format import SCALE, Split, encode_bound
from accel_cpu._native import coding as native

BINS = [1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 32, 33, 64, 65, 100, 255, 256]


def spread(shape, bins, kind, seed):
    """Symbols of one of several distributions."""
    random = torch.Generator().manual_seed(seed)
    if kind == "one":
        return torch.full(shape, seed % bins, dtype=torch.uint8)
    if kind == "uniform":
        return torch.randint(bins, shape, generator=random).to(torch.uint8)
    if kind == "rare":  # nearly always one symbol
        rare = torch.rand(shape, generator=random) < 0.01
        return torch.where(rare, seed % bins, bins // 2).to(torch.uint8)
    if kind == "channels":  # one symbol a channel
        channel = torch.randint(bins, shape[2:], generator=random)
        return channel.expand(shape).to(torch.uint8).contiguous()
    values = torch.randn(shape, generator=random) * bins / 6 + bins / 2
    return values.clamp(0, bins - 1).to(torch.uint8)


kinds = st.sampled_from(["one", "uniform", "rare", "channels", "normal"])
shapes = st.one_of(
    st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 70)),
    st.tuples(st.integers(1, 2), st.integers(5, 90), st.integers(25, 70)),
    st.tuples(st.just(1), st.integers(1, 2200), st.integers(1, 2)),
    st.tuples(st.integers(1, 2), st.just(1), st.sampled_from([1, 31, 32, 33, 64, 65])),
)


@given(shapes, st.sampled_from(BINS), kinds, st.booleans(), st.integers(0, 2**32))
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_bytes_are_the_same(coder, oracle, instruction_set, shape, bins, kind, exact, seed):
    symbols = spread(shape, bins, kind, seed)
    model = coder.entropy_model(symbols, bins, exact=exact)
    assert model.dtype == torch.int16
    assert torch.equal(model, oracle.entropy_model(symbols, bins, exact=exact))
    data = coder.encode(symbols, model)
    assert torch.equal(data, oracle.encode(symbols, model))
    assert len(data) <= encode_bound(shape)
    for decoder in (coder, oracle):
        out = torch.full(shape, 0xA5, dtype=torch.uint8)
        decoder.decode(data, model, out)
        assert torch.equal(out, symbols)


@given(
    st.integers(0, 5), st.integers(0, 2**31 - 1), st.integers(0, 2**12), st.sampled_from([1, 40])
)
@settings(max_examples=200, deadline=None)
def test_bounds_agree(layers, tokens, channels, fold):
    tokens //= fold  # short ones too
    split = Split.choose(layers, tokens, channels)
    if split.chunks * split.groups > 10_000:
        return
    assert native.encode_bound(layers, tokens, channels) == encode_bound((layers, tokens, channels))


def test_lanes_cost_little():
    """What the split is chosen for: 24 bits a lane, spread over enough symbols."""
    for tokens, least in ((256, 1024), (512, 1024), (1024, 1024), (2048, 4096), (5000, 3332)):
        split = Split.choose(1, tokens, 4096)
        assert all(p.rows * p.tokens >= least for p in map(split.place, range(split.streams))), (
            tokens
        )


def test_places_cover_everything_once():
    split = Split.choose(2, 2500, 600)
    seen = torch.zeros(2, 2500, split.rows, dtype=torch.int)
    for place in map(split.place, range(split.streams)):
        seen[
            place.layer,
            place.token : place.token + place.tokens,
            place.row : place.row + place.rows,
        ] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("bins", [5, 32, 200, 256])
@pytest.mark.parametrize("shape", [(2, 700, 100), (1, 4500, 65), (3, 16, 1024)])
def test_large(coder, instruction_set, shape, bins):
    symbols = spread(shape, bins, "normal", 3)
    model = coder.entropy_model(symbols, bins)
    out = torch.zeros(shape, dtype=torch.uint8)
    coder.decode(coder.encode(symbols, model), model, out)
    assert torch.equal(out, symbols)


def test_instruction_sets_agree_on_large(coder):
    symbols = spread((2, 300, 999), 64, "normal", 1)
    before = native.kernels()
    results = []
    for name in ("portable", "avx2", "avx512"):
        if native.use_kernels(name):
            model = coder.entropy_model(symbols, 64)
            results.append((model, coder.encode(symbols, model)))
    native.use_kernels(before)
    assert all(torch.equal(m, results[0][0]) and torch.equal(d, results[0][1]) for m, d in results)


@pytest.mark.parametrize("bins", [2, 256])
@pytest.mark.parametrize("tokens", [1, 255, 256, 16384, 16385, 70000])
def test_models_add_up(coder, oracle, instruction_set, tokens, bins):
    symbols = spread((1, tokens, 2), bins, "normal", tokens)
    for exact in (False, True):
        model = coder.entropy_model(symbols, bins, exact=exact)
        frequencies = model.int().diff()
        assert (frequencies.sum(-1) == SCALE).all()
        used = torch.stack(
            [torch.bincount(symbols[0, :, c].long(), minlength=bins) > 0 for c in range(2)]
        )
        assert ((frequencies[0] > 0) >= used).all()
        assert ((frequencies[0] > 0) == (used if exact else torch.ones_like(used))).all()
        assert torch.equal(model, oracle.entropy_model(symbols, bins, exact=exact))


@pytest.mark.parametrize("bins", [7, 32, 100, 256])
@pytest.mark.parametrize(
    "shape", [(1, 1, 2000), (3, 127, 1100), (2, 129, 1025), (2, 264, 577), (1, 1000, 65)]
)
def test_models_of_many_channels(coder, oracle, instruction_set, shape, bins):
    """More channels than are counted together, whole and partial tiles, blocks of odd lengths."""
    symbols = spread(shape, bins, "normal", 2)
    assert torch.equal(coder.entropy_model(symbols, bins), oracle.entropy_model(symbols, bins))


@pytest.mark.parametrize("tokens", [65535, 65537, 140_000])
def test_models_of_very_many_tokens(coder, oracle, instruction_set, tokens):
    """More tokens than 16 bits count, all alike but for a few."""
    symbols = torch.full((1, tokens, 5), 3, dtype=torch.uint8)
    symbols[0, ::7000, ::3] = 11
    assert torch.equal(coder.entropy_model(symbols, 12), oracle.entropy_model(symbols, 12))


@pytest.mark.parametrize("at", [(0, 0, 0), (1, 130, 1026), (1, 136, 63), (0, 128, 1024)])
def test_no_symbol_outside_is_overlooked(coder, instruction_set, at):
    symbols = spread((2, 137, 1027), 20, "uniform", 1)
    symbols[at] = 20
    with pytest.raises(ArgumentError, match=f"20 at {re.escape(str(list(at)))}"):
        coder.entropy_model(symbols, 20)
    assert coder.entropy_model(symbols, 21).shape == (2, 1027, 22)


def test_written_down(oracle):
    """The example of docs/kv-codec.md, byte for byte."""
    symbols = torch.tensor([[[0, 3], [1, 3], [0, 2], [0, 3]]], dtype=torch.uint8)
    model = oracle.entropy_model(symbols, 4)
    assert model.tolist() == [[[0, 12286, 16382, 16383, 16384], [0, 1, 2, 4097, 16384]]]
    data = bytes(oracle.encode(symbols, model).tolist())
    assert data == bytes.fromhex(
        "41 4b 56 43 01 00 0e 20 04 00 00 00 19 cf 36 08"
        "01 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00"
        "02 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00"
        "50 00 00 00 00 00 00 00 85 2e 7a 22 ec f2 20 08"
        "00 00 00 00 26 77 e1 66 62 90 09 00 64 e0 09 00"
    )


def test_int8_is_its_bytes(coder):
    values = torch.arange(-128, 128, dtype=torch.int8).reshape(1, 4, 64)
    model = coder.entropy_model(values, 256)
    assert torch.equal(model, coder.entropy_model(values.view(torch.uint8), 256))
    out = torch.empty_like(values)
    coder.decode(coder.encode(values, model), model, out)
    assert torch.equal(out, values)


def test_strides(coder):
    wide = spread((4, 30, 96), 32, "normal", 9)
    for symbols in (wide[:, :, 32:70], wide[::2, 5:25], wide.transpose(1, 2), wide[:, ::3, ::2]):
        model = coder.entropy_model(symbols, 32)
        data = coder.encode(symbols, model)
        assert torch.equal(data, coder.encode(symbols.contiguous(), model))
    target = torch.full((6, 40, 96), 0xA5, dtype=torch.uint8)
    symbols = wide[:, :20, 32:70].contiguous()
    model = coder.entropy_model(symbols, 32)
    coder.decode(coder.encode(symbols, model), model, target[1:5, 10:30, 32:70])
    assert torch.equal(target[1:5, 10:30, 32:70], symbols)
    target[1:5, 10:30, 32:70] = 0xA5
    assert (target == 0xA5).all()


def test_model_shared_by_chunks(coder):
    symbols = spread((2, 512, 64), 32, "normal", 4)
    model = coder.entropy_model(symbols[:, :256], 32)
    for chunk in symbols.split(128, dim=1):
        out = torch.empty_like(chunk, memory_format=torch.contiguous_format)
        coder.decode(coder.encode(chunk, model), model, out)
        assert torch.equal(out, chunk)


def test_out_is_used(coder):
    symbols = spread((2, 64, 40), 16, "normal", 5)
    model = coder.entropy_model(symbols, 16)
    out = torch.full((encode_bound(symbols.shape) + 100,), 0xA5, dtype=torch.uint8)
    data = coder.encode(symbols, model, out=out)
    assert data.data_ptr() == out.data_ptr()
    assert torch.equal(data, coder.encode(symbols, model))
    assert (out[len(data) :] == 0xA5).all()
