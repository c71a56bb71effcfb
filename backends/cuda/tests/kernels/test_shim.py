"""The host shim itself: every primitive of device.h against loops, and defects it must see."""

from __future__ import annotations

import ctypes
import fractions
import itertools
import random
from pathlib import Path

import numpy as np
import pytest

PRIMITIVES = Path(__file__).with_name("shim") / "primitives.cu"
WORDS = [np.uint32, np.uint64, np.float32]


class Words(ctypes.Structure):
    _fields_ = [
        ("source", ctypes.c_uint64),
        ("target", ctypes.c_uint64),
        ("count", ctypes.c_uint32),
        ("extra", ctypes.c_uint32),
    ]


@pytest.fixture(scope="module")
def primitives(shim):
    return shim(PRIMITIVES)


@pytest.fixture
def memory(primitives):
    with primitives.memory() as memory:
        yield memory


def words(source, target, count=0, extra=0):
    return Words(source.ctypes.data if source is not None else 0, target.ctypes.data, count, extra)


def fresh(count, dtype):
    generator = np.random.default_rng(random.randrange(2**31))
    return generator.integers(0, 256, count * np.dtype(dtype).itemsize, np.uint8).view(dtype)


def test_indices(primitives, memory):
    out = memory.empty((2 * 3 * 2 * 64, 4), np.uint32)
    primitives.launch("indices", words(None, out, extra=9), grid=(2, 3, 2), block=64)
    for block, thread in itertools.product(range(12), range(64)):
        assert tuple(out[block * 64 + thread]) == (thread % 32, thread // 32, 2, 9)


@pytest.mark.parametrize("seed", range(1, 7))
def test_barriers_and_shared_memory(primitives, memory, seed):
    values = memory.put(fresh(4 * 256, np.uint32))
    out = memory.empty(4 * 256, np.uint32)
    primitives.launch("reverse", words(values, out), grid=4, block=256, seed=seed)
    assert np.array_equal(out.reshape(4, 256), values.reshape(4, 256)[:, ::-1])
    primitives.launch(
        "reverse_groups", words(values, out), grid=8, block=128, shared_bytes=512, seed=seed
    )
    assert np.array_equal(out.reshape(-1, 32), values.reshape(-1, 32)[:, ::-1])


@pytest.mark.parametrize("kernel", ["reverse", "reverse_groups"])
def test_a_missing_barrier_is_seen(shim, kernel):
    library = shim(PRIMITIVES, defines={"FORGET_BARRIER": 1})
    with library.memory() as memory:
        values = memory.put(fresh(256, np.uint32))
        for seed in range(1, 7):  # each of them: some thread always comes before its neighbour
            out = memory.empty(256, np.uint32)
            library.launch(
                kernel, words(values, out), grid=1, block=256, shared_bytes=1024, seed=seed
            )
            width = 256 if kernel == "reverse" else 32
            assert not np.array_equal(out.reshape(-1, width), values.reshape(-1, width)[:, ::-1])


@pytest.mark.parametrize("dtype", WORDS)
@pytest.mark.parametrize("by", [0, 1, 5, 16, 31])
def test_shuffles(primitives, memory, dtype, by):
    values = memory.put(np.arange(64).astype(dtype) * 3 + 1)
    out = memory.empty((4, 64), dtype)
    name = {np.uint32: "u32", np.uint64: "u64", np.float32: "f32"}[dtype]
    primitives.launch(f"shuffles_{name}", words(values, out, extra=by), block=64)
    for t in range(64):
        base, lane = t // 32 * 32, t % 32
        assert out[0, t] == values[base + (lane * 7 + by) % 32]
        assert out[1, t] == values[base + (lane - by if lane >= by else lane)]
        assert out[2, t] == values[base + (lane + by if lane + by < 32 else lane)]
        assert out[3, t] == values[base + (lane ^ by)]


@pytest.mark.parametrize("threshold", [0, 1, 50, 100])
def test_votes(primitives, memory, threshold):
    values = memory.put(np.random.default_rng().integers(0, 100, 96, np.uint32))
    out = memory.empty((96, 4), np.uint32)
    primitives.launch("votes", words(values, out, extra=threshold), block=96)
    for t in range(96):
        yes = [bool(v < threshold) for v in values[t // 32 * 32 :][:32]]
        ballot = sum(1 << i for i, p in enumerate(yes) if p)
        assert tuple(out[t]) == (ballot, any(yes), all(yes), sum(yes[: t % 32]))


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("count", [1, 31, 200])
def test_vectors(primitives, memory, width, count):
    values = memory.put(fresh(count * width, np.uint8))
    out = memory.empty((2, count * width), np.uint8)
    primitives.launch(f"copy_{width}", words(values, out, count), grid=4, block=64)
    assert np.array_equal(out, np.stack([values, values]))


def test_atomics(primitives, memory):
    values = memory.put(np.random.default_rng().permutation(4096)[:256].astype(np.uint32))
    start = np.zeros(24, np.uint32)
    start[1], start[20], start[21], start[22] = 2**32 - 1, 77, 5, 6
    start.view(np.uint64)[4] = 2**64 - 1
    out = memory.put(start)
    chosen = 100
    primitives.launch("atomics", words(values, out, extra=int(values[chosen])), grid=4, block=64)
    listed, wide = [int(v) for v in values], out.view(np.uint64)
    assert out[0] == sum(listed) % 2**32
    assert (out[1], out[2]) == (min(listed), max(listed))
    assert out[3] == sum({1 << v % 32 for v in listed})
    assert wide[2] == sum(listed) << 20
    assert wide[3] == 256
    assert (wide[4], wide[5]) == (min(listed) << 32, max(listed) << 32)
