"""The entropy coder's kernels on the host shim: the bytes of the CPU's coder and the reference."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from cuda_shim import coding_calls as calls
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel.errors import CodecError
from accel.kv.codec_format import Container, Split, encode_bound
from accel_cpu.coding import CpuKVCoding
from accel_cpu.reference.coding import ReferenceKVCoding

CPU = CpuKVCoding()
REFERENCE = ReferenceKVCoding()
KERNELS = Path(__file__).parents[2] / "src" / "accel_cuda" / "kernels"
#: Kinds of findings by name, read from the header that kernels and host share.
FOUND = {
    name: number
    for number, name in enumerate(
        re.findall(r"CODING_FOUND_(\w+)", (KERNELS / "coding_findings.h").read_text()), 1
    )
}

#: Under sanitizers everything takes ten times as long.
SHARE = 5 if os.environ.get("ACCEL_SHIM_SANITIZE") else 1
relaxed = settings(
    max_examples=25 // SHARE,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Coder:
    """The kernels, launched as the native host side does."""

    def __init__(self, shim):
        self.libraries = {
            name: shim(f"coding_{name}.cu")
            for name in ("model", "encode", "assemble", "verify", "decode")
        }

    def launch(self, name, kernel, args, grid, block, shared=0):
        self.libraries[name].launch(kernel, args, grid=grid, block=block, shared_bytes=shared)

    def memory(self):
        return self.libraries["model"].memory()

    def model(self, symbols, bins, exact=False, grid=None):
        """The model, and the fault record's words."""
        layers, tokens, channels = symbols.shape
        with self.memory() as memory:
            model = memory.empty((layers, channels, bins + 1), np.int16)
            state, fault = zeros(memory), zeros(memory)
            there, view = put(memory, symbols)
            args = calls.ModelArgs(view, layers, tokens, channels, model.ctypes.data,
                                   fault.ctypes.data, state.ctypes.data, bins, exact)  # fmt: skip
            blocks = grid or max(1, layers * -(-channels // 32))
            self.launch("model", "coding_model", args, blocks, 256, calls.model_shared(bins))
            del there
            return torch.from_numpy(model.copy()), fault.copy()

    def encode(self, symbols, model, twice=True, wave=None, offset=0):
        """The container and the result record; None where something was found."""
        shape = tuple(symbols.shape)
        split = calls.split_args(shape)
        bins = model.shape[2] - 1
        stride = calls.words_stride(split)
        wave = wave or max(1, split.streams)
        with self.memory() as memory:
            words = memory.empty((min(wave, split.streams), stride), np.uint16)
            states = memory.empty((wave, 32), np.uint32)
            sizes = memory.empty((wave, 2), np.uint32)
            out = memory.empty(encode_bound(shape) + offset, np.uint8)
            before = out.copy()
            state, result = zeros(memory), zeros(memory)
            there, view = put(memory, symbols)
            with_model = memory.put(model.contiguous().numpy())

            def run(first, count, look, dry, last):
                args = calls.EncodeArgs(
                    view, split, with_model.ctypes.data, first, count, words.ctypes.data, stride,
                    states.ctypes.data, sizes.ctypes.data, out.ctypes.data + offset,
                    state.ctypes.data, result.ctypes.data, bins, twice, look, dry, last, 0,
                )  # fmt: skip
                threads, shared = random.choice([64, 128]), calls.encode_shared(bins, twice)
                self.launch("encode", "coding_encode", args, max(count, 1), threads, shared)
                if not dry:
                    self.launch("assemble", "coding_assemble", args, max(count, 1), 256)

            if wave >= split.streams:
                run(0, split.streams, True, False, True)
            else:
                run(0, split.streams, True, True, False)
                for first in range(0, split.streams, wave):
                    count = min(wave, split.streams - first)
                    run(first, count, False, False, first + count == split.streams)
            key, size, value = (int(v) for v in result.view(np.uint64)[:3])
            del there
            if key != 2**64 - 1:
                assert np.array_equal(out, before)
                return None, (key >> 56, key & (1 << 56) - 1, value)
            assert np.array_equal(out[:offset], before[:offset])
            assert np.array_equal(out[offset + size :], before[offset + size :])
            return torch.from_numpy(out[offset : offset + size].copy()), None

    def decode(self, data, model, shape, twice=True, table=2, grid=None, offset=0, row=None):
        """The symbols (None where nothing was written), and what was found."""
        layers, tokens, channels = shape
        bins = model.shape[2] - 1
        row = row or channels
        with self.memory() as memory:
            out = memory.empty((layers, tokens, row), np.uint8)
            before = out.copy()
            state, fault = zeros(memory), zeros(memory)
            there = memory.empty(len(data) + offset, np.uint8)
            there[offset:] = data.numpy()
            with_model = memory.put(model.contiguous().numpy())
            view = calls.Symbols(out.ctypes.data, tokens * row, row, 1)
            args = calls.DecodeArgs(view, *shape, there.ctypes.data + offset, len(data),
                                    with_model.ctypes.data, state.ctypes.data, fault.ctypes.data,
                                    bins, twice, table, 0)  # fmt: skip
            self.launch("verify", "coding_verify", args, random.choice([1, 3]), 256)
            found = fault.view(np.uint32)[0] != 0
            grid = grid or max(1, Split.choose(*shape).streams)
            self.launch("decode", "coding_decode", args, grid, random.choice([64, 128]),
                        calls.decode_shared(bins, twice, table))  # fmt: skip
            if found:
                assert np.array_equal(out, before)
            assert np.array_equal(out[:, :, channels:], before[:, :, channels:])
            return torch.from_numpy(out[:, :, :channels].copy()), finding(fault)


def zeros(memory):
    array = memory.empty(64, np.uint8, alignment=64)
    array[:] = 0
    return array


def put(memory, symbols):
    """The storage of a view in guarded memory, and the view."""
    base = symbols.untyped_storage()
    whole = torch.frombuffer(bytearray(base), dtype=torch.uint8) if len(base) else torch.zeros(0)
    there = memory.put(whole.numpy().astype(np.uint8), alignment=1)
    at = there.ctypes.data + symbols.storage_offset()
    return there, calls.Symbols(at, *symbols.stride())


def finding(fault):
    """(kind, where) of a fault record, or None."""
    if fault.view(np.uint32)[0] == 0:
        return None
    assert fault.view(np.uint32)[0] == 2
    _, _, index, _, position, *_ = (int(v) for v in fault.view(np.int64))
    return index, position


@pytest.fixture(scope="module")
def coder(shim):
    return Coder(shim)


def spread(shape, bins, kind, seed):
    generator = torch.Generator().manual_seed(seed)
    if kind == "one":
        return torch.full(shape, seed % bins, dtype=torch.uint8)
    if kind == "uniform":
        return torch.randint(bins, shape, generator=generator).to(torch.uint8)
    if kind == "rare":
        rare = torch.rand(shape, generator=generator) < 0.03
        return torch.where(rare, seed % bins, bins // 2).to(torch.uint8)
    values = torch.randn(shape, generator=generator) * bins / 6 + bins / 2
    return values.clamp(0, bins - 1).to(torch.uint8)


kinds = st.sampled_from(["one", "uniform", "rare", "normal"])
shapes = st.one_of(
    st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 70)),
    st.tuples(st.just(1), st.integers(5, 90), st.integers(25, 70)),
    st.tuples(st.just(2), st.just(1), st.sampled_from([1, 31, 32, 33, 64, 65])),
)
bins_drawn = st.sampled_from([1, 2, 3, 5, 16, 31, 32, 33, 64, 100, 255, 256])


@given(shapes, bins_drawn, kinds, st.booleans(), st.integers(0, 2**32), st.data())
@relaxed
def test_bytes_are_the_same(coder, shape, bins, kind, exact, seed, data):
    symbols = spread(shape, bins, kind, seed)
    model, fault = coder.model(symbols, bins, exact, grid=data.draw(st.sampled_from([None, 1])))
    assert finding(fault) is None
    assert torch.equal(model, REFERENCE.entropy_model(symbols, bins, exact=exact))
    twice = data.draw(st.booleans())
    encoded, found = coder.encode(symbols, model, twice, offset=data.draw(st.sampled_from([0, 3])))
    assert found is None
    assert torch.equal(encoded, CPU.encode(symbols, model))
    back = torch.empty(shape, dtype=torch.uint8)
    REFERENCE.decode(encoded, model, back)
    assert torch.equal(back, symbols)
    out, found = coder.decode(
        encoded, model, shape, twice,
        table=data.draw(st.sampled_from([0, 1, 2])),
        grid=data.draw(st.sampled_from([None, 1, 5])),
        offset=data.draw(st.sampled_from([0, 1, 2, 4])),
        row=shape[2] + data.draw(st.sampled_from([0, 5])),
    )  # fmt: skip
    assert found is None
    assert torch.equal(out, symbols)


@pytest.mark.parametrize("shape", [(0, 5, 5), (3, 0, 40), (2, 7, 0)], ids=str)
def test_no_symbols(coder, shape):
    symbols = torch.empty(shape, dtype=torch.uint8)
    model, _ = coder.model(symbols, 7)
    assert torch.equal(model, CPU.entropy_model(symbols, 7))
    encoded, _ = coder.encode(symbols, model)
    assert torch.equal(encoded, CPU.encode(symbols, model))
    assert coder.decode(encoded, model, shape)[1] is None
    if model.numel():
        model[0, 1, 3] += 5000
        assert coder.encode(symbols, model)[1] == (FOUND["MODEL"], 1, 0)


@pytest.mark.parametrize("bins", [32, 200])
@pytest.mark.parametrize("shape", [(2, 300, 130), (1, 2100, 34), (1, 9, 1100)], ids=str)
def test_several_streams(coder, shape, bins):
    """Rows one after another in a stream, several streams in a layer, waves of them."""
    symbols = spread(shape, bins, "normal", random.randrange(2**31))
    model = CPU.entropy_model(symbols, bins)
    expected = CPU.encode(symbols, model)
    for twice, wave, table in ((True, None, 2), (False, 1, 1), (False, 2, 0)):
        encoded, found = coder.encode(symbols, model, twice, wave)
        assert found is None
        assert torch.equal(encoded, expected)
        out, found = coder.decode(encoded, model, shape, twice, table)
        assert found is None
        assert torch.equal(out, symbols)


@given(st.permutations(range(3)), st.lists(st.integers(1, 3), min_size=3, max_size=3))
@settings(relaxed, max_examples=10 // SHARE)
def test_strides(coder, order, steps):
    symbols = spread([n * s for n, s in zip((2, 9, 35), steps, strict=True)], 9, "normal", 5)
    symbols = symbols.permute(order)
    symbols = symbols[tuple(slice(None, None, steps[i]) for i in order)]
    model, _ = coder.model(symbols, 9)
    assert torch.equal(model, CPU.entropy_model(symbols, 9))
    encoded, _ = coder.encode(symbols, model)
    assert torch.equal(encoded, CPU.encode(symbols, model))


@pytest.mark.parametrize("tokens", [0, 1, 16384, 16385, 140_000])
@pytest.mark.parametrize("exact", [False, True])
def test_models_of_many_tokens(coder, tokens, exact):
    symbols = torch.full((1, tokens, 3), 3, dtype=torch.uint8)
    symbols[0, ::7000, ::2] = 11
    model, _ = coder.model(symbols, 12, exact)
    assert torch.equal(model, CPU.entropy_model(symbols, 12, exact=exact))


def test_symbols_outside(coder):
    symbols = spread((2, 70, 40), 16, "uniform", 3)
    symbols[1, 30, 7] = symbols[1, 60, 2] = symbols[1, 40, 7] = 16
    where = (1 * 70 + 30) * 40 + 7
    model = CPU.entropy_model(symbols, 17)
    _, fault = coder.model(symbols, 16)
    assert finding(fault) == (FOUND["OUTSIDE"], where)
    assert fault.view(np.int64)[5] == 16
    model = CPU.entropy_model(symbols % 16, 16)
    for wave in (None, 1):
        encoded, found = coder.encode(symbols, model, wave=wave)
        assert encoded is None
        assert found == (FOUND["OUTSIDE"], where, 16)


def test_symbols_without_a_frequency(coder):
    symbols = spread((2, 70, 40), 12, "uniform", 3)
    model = CPU.entropy_model(symbols, 16, exact=True)
    symbols[0, 69, 33] = 15
    encoded, found = coder.encode(symbols, model)
    assert encoded is None
    assert found == (FOUND["NO_FREQUENCY"], 69 * 40 + 33, 15)


@pytest.mark.parametrize(("at", "value"), [(0, 1), (16, 16383), (5, 20000), (5, -1)])
def test_no_model(coder, at, value):
    symbols = spread((2, 70, 40), 16, "uniform", 3)
    model = CPU.entropy_model(symbols, 16)
    data = CPU.encode(symbols, model)
    model[1, 7, at] = value
    encoded, found = coder.encode(symbols, model)
    assert encoded is None
    assert found == (FOUND["MODEL"], 47, 0)
    _, found = coder.decode(data, model, symbols.shape)
    assert found == (FOUND["MODEL"], 47)


def test_another_model_or_shape(coder):
    symbols = spread((2, 50, 40), 16, "uniform", 3)
    model = CPU.entropy_model(symbols, 16)
    data = CPU.encode(symbols, model)
    other = CPU.entropy_model(symbols, 17)
    assert coder.decode(data, other, (2, 50, 40))[1] == (FOUND["OTHER_MODEL"], 0)
    assert coder.decode(data, model, (2, 51, 40))[1] == (FOUND["SHAPE"], 0)


@given(st.data())
@settings(relaxed, max_examples=60 // SHARE)
def test_damage_is_found(coder, data):
    """Whatever is changed, cut or put in: nothing is written, nothing outside is read."""
    bins = data.draw(st.sampled_from([2, 16, 200]))
    symbols = spread((1, 40, 34), bins, "normal", 1)
    model = CPU.entropy_model(symbols, bins)
    raw = bytearray(CPU.encode(symbols, model).tolist())
    at = data.draw(st.integers(0, len(raw) - 1))
    what = data.draw(st.sampled_from(["flip", "cut", "insert"]))
    if what == "flip":
        raw[at] ^= data.draw(st.integers(1, 255))
    elif what == "cut":
        del raw[at:]
    else:
        raw.insert(at, data.draw(st.integers(0, 255)))
    damaged = torch.tensor(list(raw), dtype=torch.uint8)
    with pytest.raises(CodecError):
        CPU.decode(damaged, model, symbols.clone())
    _, found = coder.decode(damaged, model, symbols.shape)
    assert found is not None


@given(st.data())
@settings(relaxed, max_examples=60 // SHARE)
def test_damage_behind_right_checks(coder, data):
    """Streams and tables of any content whose checks are right: a finding or symbols, no fault."""
    shape, bins = (1, 60, 40), 16
    symbols = spread(shape, bins, "normal", 2)
    model = CPU.entropy_model(symbols, bins)
    raw = bytes(CPU.encode(symbols, model).tolist())
    container = Container.parse(raw, len(raw))
    stream = bytearray(raw[slice(*container.ranges[0])])
    at = data.draw(st.integers(0, len(stream) // 4 - 1)) * 4
    what = data.draw(st.sampled_from(["change", "cut", "grow"]))
    if what == "change":
        stream[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))
    elif what == "cut":
        del stream[max(at, 32 * 4) :]
    else:
        stream[at:at] = data.draw(st.binary(min_size=4, max_size=4))
    header = container.header
    packed = Container.build(bins, header.model_check, header.split, [bytes(stream)])
    damaged = torch.tensor(list(packed), dtype=torch.uint8)
    kinds = {"LOW_STATE": "below its range", "FEW_WORDS": "too few", "END_STATE": "does not end",
             "MANY_WORDS": "no lane takes"}  # fmt: skip
    out, found = coder.decode(
        damaged, model, shape, twice=data.draw(st.booleans()), table=data.draw(st.integers(0, 2))
    )
    back = torch.empty(shape, dtype=torch.uint8)
    try:
        CPU.decode(damaged, model, back)
    except CodecError as error:
        assert found is not None
        name = next(name for name, number in FOUND.items() if number == found[0])
        assert kinds[name] in str(error)
    else:
        assert found is None
        assert torch.equal(out, back)


@pytest.mark.parametrize(("chunks", "groups"), [(1, 2), (3, 1), (7, 2), (60, 2)])
def test_other_splits(coder, chunks, groups):
    """A decoder takes chunks and groups from the header."""
    from accel_cpu.reference.coding import encode_stream

    shape, bins = (2, 60, 40), 16
    symbols = spread(shape, bins, "normal", 2)
    model = CPU.entropy_model(symbols, bins)
    split = Split(*shape, chunks, groups)
    streams = [
        encode_stream(symbols.tolist(), model.tolist(), shape[2], split.place(i))
        for i in range(split.streams)
    ]
    data = CPU.encode(symbols, model)
    check = Container.parse(bytes(data.tolist()), len(data)).header.model_check
    packed = torch.tensor(list(Container.build(bins, check, split, streams)), dtype=torch.uint8)
    out, found = coder.decode(packed, model, shape)
    assert found is None
    assert torch.equal(out, symbols)
