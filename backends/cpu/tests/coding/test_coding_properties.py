"""Round trips of symbols that lie anyhow, and damage that is always noticed: hypothesis."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel import errors

relaxed = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def extents(most):
    """Some small, some around a row of 32, some large; seldom 0."""
    edges = [n for n in (0, 1, 31, 32, 33, 63, 64, 65) if n <= most]
    return st.one_of(st.integers(1, most), st.integers(most // 2, most), st.sampled_from(edges))


@st.composite
def views(draw, max_extents=(3, 90, 100)):
    """Symbols ``[layers, tokens, channels]``, their bins: a view with any strides and any dtype."""
    bins = draw(st.integers(1, 256))
    shape = [draw(extents(most)) for most in max_extents]
    order = draw(st.permutations(range(3)))
    steps = [draw(st.integers(1, 3)) for _ in range(3)]
    skips = [draw(st.integers(0, 2)) for _ in range(3)]
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    base = torch.randint(
        bins,
        [skips[i] + shape[i] * steps[i] for i in order],
        generator=random,
        dtype=torch.uint8,
    )
    laid = base.permute([order.index(i) for i in range(3)])
    symbols = laid[tuple(slice(skips[i], None, steps[i]) for i in range(3))]
    assert list(symbols.shape) == shape
    if draw(st.booleans()):
        symbols = symbols.view(torch.int8)
    return symbols, bins


@given(views(), st.booleans(), st.booleans())
@relaxed
def test_any_strides(coder, instruction_set, drawn, exact, strided_model):
    symbols, bins = drawn
    model = coder.entropy_model(symbols, bins, exact=exact)
    dense = symbols.contiguous()
    assert torch.equal(model, coder.entropy_model(dense, bins, exact=exact))
    if strided_model:
        model = model.transpose(0, 2).contiguous().transpose(0, 2)
    data = coder.encode(symbols, model)
    assert torch.equal(data, coder.encode(dense, model.contiguous()))
    layers, tokens, channels = symbols.shape
    around = torch.full((layers + 2, tokens + 2, channels + 7), 0x5A, dtype=symbols.dtype)
    out = around[1:-1, 1:-1, 3:-4]
    coder.decode(data, model, out)
    assert torch.equal(out, symbols)
    out.fill_(0x5A)
    assert (around == 0x5A).all()


changes = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, 2**20), st.integers(1, 255)),
    st.tuples(st.just("cut"), st.integers(0, 2**20), st.just(0)),
    st.tuples(st.just("insert"), st.integers(0, 2**20), st.integers(0, 255)),
    st.tuples(st.just("zero"), st.integers(0, 2**20), st.integers(1, 64)),
    st.tuples(st.just("swap"), st.integers(0, 2**20), st.integers(4, 64)),
)


def damage(data, change):
    what, at, value = change
    at %= len(data)
    raw = bytearray(data)
    if what == "flip":
        raw[at] ^= value
    elif what == "cut":
        del raw[at:]
    elif what == "insert":
        raw.insert(at, value)
    elif what == "zero":
        raw[at : at + value] = bytes(len(raw[at : at + value]))
    else:
        raw[at : at + 2 * value] = raw[at + value : at + 2 * value] + raw[at : at + value]
    return bytes(raw)


@pytest.mark.parametrize("which", ["native", "reference"])
@given(views((2, 30, 40)), st.lists(changes, min_size=1, max_size=3))
@relaxed
def test_damage_is_refused(coder, oracle, which, drawn, many):
    symbols, bins = drawn
    either = coder if which == "native" else oracle
    model = coder.entropy_model(symbols, bins)
    sound = bytes(coder.encode(symbols, model).tolist())
    data = sound
    for change in many:
        data = damage(data, change) or b"\0"
    out = torch.full(symbols.shape, 0x5A, dtype=torch.uint8)
    encoded = torch.tensor(list(data), dtype=torch.uint8)
    if data == sound:
        either.decode(encoded, model, out)
        assert torch.equal(out, symbols.view(torch.uint8))
        return
    with pytest.raises(errors.CodecError):
        either.decode(encoded, model, out)
    assert (out == 0x5A).all()


@given(st.binary(max_size=400), st.booleans())
@relaxed
def test_foreign_bytes(coder, oracle, data, begins_well):
    data = b"AKVC\1\0\x0e\x20" + data if begins_well else data
    encoded = torch.tensor(list(data), dtype=torch.uint8)
    model = coder.entropy_model(torch.zeros(1, 4, 8, dtype=torch.uint8), 4)
    for either in (coder, oracle):
        with pytest.raises(errors.CodecError):
            either.decode(encoded, model, torch.zeros(1, 4, 8, dtype=torch.uint8))
