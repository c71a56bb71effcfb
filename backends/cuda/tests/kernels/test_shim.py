"""The host shim itself: every primitive of device.h against loops, and defects it must see."""

from __future__ import annotations

import ctypes
import itertools
import os
import random

import numpy as np
import pytest
from cuda_shim import harness

SHIM = harness.SHIM
PRIMITIVES = SHIM / "primitives.cu"
ASYNC = SHIM / "async_primitives.cu"

SANITIZED = bool(os.environ.get("ACCEL_SHIM_SANITIZE"))
planted = pytest.mark.skipif(
    SANITIZED or os.environ.get("ACCEL_SHIM_TARGET", "host") != "host",
    reason="the shim alone: sanitizers end the process here, and HIP's functions have other names",
)
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


@pytest.mark.parametrize("seed", range(1, 4 if SANITIZED else 7))
def test_barriers_and_shared_memory(primitives, memory, seed):
    values = memory.put(fresh(4 * 256, np.uint32))
    out = memory.empty(4 * 256, np.uint32)
    primitives.launch("reverse", words(values, out), grid=4, block=256, seed=seed)
    assert np.array_equal(out.reshape(4, 256), values.reshape(4, 256)[:, ::-1])
    primitives.launch(
        "reverse_groups", words(values, out), grid=8, block=128, shared_bytes=512, seed=seed
    )
    assert np.array_equal(out.reshape(-1, 32), values.reshape(-1, 32)[:, ::-1])


@planted
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
    assert wide[6] == sum({1 << v % 64 for v in listed})
    assert (out[20], wide[7]) == (chosen, 77)
    assert (out[21], out[22], out[23]) == (chosen, 6, 6)


def test_threads_that_wait_let_others_run(primitives, memory):
    out = memory.put(np.zeros(65, np.uint32))
    primitives.launch("turns", words(None, out, extra=5), block=64)
    assert list(out) == [64, *range(5, 69)]


def test_bit_functions(primitives, memory):
    generator = random.Random(7)
    pairs = [(0, 0), (2**64 - 1, 2**64 - 1), (1, 2**63), (2**31, 2**32)]
    pairs += [(generator.getrandbits(64), generator.getrandbits(generator.randint(1, 64)))] * 60
    values = memory.put(np.array(pairs, np.uint64))
    out = memory.empty((len(pairs), 16), np.uint64)
    primitives.launch("bit_functions", words(values, out, len(pairs)), grid=2, block=32)
    for (a, b), row, lane in zip(pairs, out.tolist(), itertools.cycle(range(32))):
        low_a, low_b = a % 2**32, b % 2**32
        taken = (low_a | low_b << 32).to_bytes(8, "little")
        nibbles = [a >> 32 >> 4 * i & 15 for i in range(4)]
        permuted = [
            (0xFF if taken[n & 7] & 0x80 else 0) if n & 8 else taken[n & 7] for n in nibbles
        ]
        assert row[:13] == [
            a.bit_count(),
            low_a.bit_count(),
            64 - a.bit_length(),
            32 - low_a.bit_length(),
            (a & -a).bit_length(),
            (low_a & -low_a).bit_length(),
            a * b >> 64,
            low_a * low_b >> 32,
            int.from_bytes(bytes(permuted), "little"),
            (low_b << 32 | low_a) >> (b >> 32) % 32 & 0xFFFFFFFF,
            min(a, b),
            max(a, b),
            2**lane - 1,
        ]
        assert row[14] > 0 and row[15] < 2**40


def test_float_functions(primitives, memory):
    """Fused where it is asked for, and nowhere else."""
    generator = np.random.default_rng(11)
    values = memory.put(generator.normal(size=(500, 3)).astype(np.float32) * 9)
    values[0] = (2.5, 1, 0)
    values[1] = (1 + 2**-12, 1 + 2**-12, -1)
    out = memory.empty((500, 4), np.float32)
    primitives.launch("float_functions", words(values, out, 500), grid=8, block=64)
    a, b, c = values.T
    wide = a.astype(np.longdouble) * b + c  # 64 bits hold the product; the sum rounds far below
    assert np.array_equal(out[:, 0], wide.astype(np.float32))
    assert np.array_equal(out[:, 1], a * b + c)
    assert out[1, 0] != out[1, 1]
    assert np.array_equal(out[:, 2], np.rint(a))
    assert np.array_equal(out[:, 3], a / b)


# --- copies in the background ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(1, 2 if SANITIZED else 5))
@pytest.mark.parametrize(("kernel", "width"), [("async_4", 1), ("async_8", 2), ("async_16", 4)])
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_copies_by_threads(shim, kernel, width, rounds, seed):
    assert incremented(shim(ASYNC), kernel, width, rounds, seed)


@pytest.mark.parametrize("seed", range(1, 3 if SANITIZED else 7))
@pytest.mark.parametrize("rounds", [1, 2, 3, 6])
def test_bulk_copies(shim, rounds, seed):
    assert incremented(shim(ASYNC), "bulk", 4, rounds, seed)


def incremented(library, kernel, width, rounds, seed):
    with library.memory() as memory:
        values = memory.put(fresh(rounds * 64 * width, np.uint32))
        out = memory.empty(rounds * 64 * width, np.uint32)
        args = words(values, out, rounds, 2)
        shared = 2 * 64 * width * 4
        library.launch(kernel, args, block=64, shared_bytes=shared, seed=seed)
        return np.array_equal(out, values + np.uint32(1))


@planted
@pytest.mark.parametrize("kernel", ["async_16", "bulk"])
def test_a_missing_wait_is_seen(shim, kernel):
    library = shim(ASYNC, defines={"FORGET_WAIT": 1})
    assert "wrong" in outcomes(library, kernel)


@planted
def test_a_buffer_that_is_taken_back_too_early_is_seen(shim):
    library = shim(ASYNC, defines={"FORGET_READ": 1})
    assert "wrong" in outcomes(library, "bulk")


def outcomes(library, kernel):
    found = set()
    for seed in range(1, 9):
        try:
            right = incremented(library, kernel, 4, 6, seed)
            found.add("right" if right else "wrong")
        except harness.KernelFault:
            found.add("wrong")
    return found


# --- what must be told ----------------------------------------------------------------------------


DEFECTS = """
#include "device.h"
#include "async_copy.h"
struct pair { accel_u64 in, out; accel_u32 count, extra; };
ACCEL_KERNEL(divergent_barrier, pair, args) {
  if (accel_thread() < 32) accel_sync_threads();
  else accel_sync_group();
  accel_sync_threads();
}
ACCEL_KERNEL(two_barriers, pair, args) {
  if (accel_thread() % 2)
    accel_sync_threads();
  else
    accel_sync_threads();
}
ACCEL_KERNEL(half_a_group, pair, args) {
  if (accel_thread() % 32 < 16) accel_store(accel_pointer<accel_u32>(args.out), accel_ballot(true));
}
ACCEL_KERNEL(other_operation, pair, args) {
  const bool odd = accel_thread() % 2;
  const bool v = odd ? accel_any(true) : accel_all(true);
  accel_store(accel_pointer<accel_u32>(args.out), (accel_u32)v);
}
ACCEL_KERNEL(small_block, pair, args) { accel_sync_group(); }
ACCEL_KERNEL(past_the_end, pair, args) {
  accel_store(accel_pointer<accel_u32>(args.out) + args.count, 1u);
}
ACCEL_KERNEL(before_the_start, pair, args) {
  accel_store(accel_pointer<accel_u8>(args.out) - 1, (accel_u8)1);
}
ACCEL_KERNEL(reads_past_the_end, pair, args) {
  accel_store(accel_pointer<accel_u32>(args.out), accel_pointer<accel_u32>(args.out)[args.count]);
}
ACCEL_KERNEL(null, pair, args) { accel_store(accel_pointer<accel_u32>(args.in), 1u); }
ACCEL_KERNEL(unaligned, pair, args) {
  accel_u32x4 v = {1, 2, 3, 4};
  accel_store(accel_pointer<accel_u32x4>(args.out + 4), v);
}
ACCEL_KERNEL(too_much_shared, pair, args) {
  ACCEL_DYNAMIC_SHARED(accel_u32, words);
  words[args.count] = 1;
}
ACCEL_KERNEL(divides_by_zero, pair, args) {
  accel_store(accel_pointer<accel_u32>(args.out), args.count / args.extra);
}
ACCEL_KERNEL(deep, pair, args) {
  volatile accel_u32 large[1 << 20];
  large[0] = args.count;
  accel_store(accel_pointer<accel_u32>(args.out), large[0]);
}
ACCEL_KERNEL(odd_bulk, pair, args) {
  ACCEL_SHARED accel_u32x4 tile[8];
  accel_bulk_store(accel_pointer<accel_u32>(args.out), tile, args.extra + 8);
}
ACCEL_KERNEL(store_under_way, pair, args) {
  ACCEL_SHARED accel_u32x4 tile[8];
  tile[0] = accel_u32x4{1, 2, 3, 4};
  accel_bulk_store(accel_pointer<accel_u32>(args.out), tile, 16);
  accel_bulk_commit();
}
ACCEL_KERNEL(no_barrier_there, pair, args) {
  ACCEL_SHARED accel_mbarrier full;
  accel_mbarrier_wait(&full, 0);
}
"""

FOUND = {
    "divergent_barrier": r"accel_sync_threads",
    "two_barriers": r"thread \d+ waits in another accel_sync_threads",
    "half_a_group": r"threads 0 to 15 wait in accel_ballot at .*\n  threads 16 to 31 have ended",
    "other_operation": r"same group waits in accel_a",
    "small_block": r"a block of 24 threads",
    "past_the_end": r"offset 32 of 'target', which has 32 bytes",
    "before_the_start": r"offset -1 of 'target'",
    "reads_past_the_end": r"offset 32 of 'target', which has 32 bytes",
    "null": r"near no buffer",
    "unaligned": r"not a multiple of 16",
    "too_much_shared": r"offset 32 of 'dynamic shared memory', which has 16 bytes",
    "divides_by_zero": r"division by zero",
    "deep": r"address outside",
    "odd_bulk": r"a multiple of 16 is wanted",
    "store_under_way": r"before its stores have read",
    "no_barrier_there": r"nobody has initialised",
}


@planted
@pytest.mark.parametrize("kernel", FOUND)
def test_defects_are_told(shim, tmp_path_factory, kernel):
    source = tmp_path_factory.getbasetemp() / "defects.cu"
    source.write_text(DEFECTS)
    library = shim(source)
    block = 24 if kernel == "small_block" else 32
    if kernel in ("divergent_barrier", "two_barriers"):
        block = 64
    with library.memory() as memory:
        target = memory.empty(8, np.uint32, "target")
        args = words(None, target, 8)
        with pytest.raises(harness.KernelFault, match=FOUND[kernel]):
            library.launch(kernel, args, block=block, shared_bytes=16)
    # What has failed leaves nothing behind.
    with library.memory() as memory:
        target = memory.empty(9, np.uint32, "target")
        library.launch("past_the_end", words(None, target, 8))
        assert target[8] == 1


@planted
def test_a_thread_that_waits_for_ever(shim):
    library = shim(PRIMITIVES, defines={"NEVER_HAND_ON": 1})
    with library.memory() as memory:
        out = memory.put(np.zeros(33, np.uint32))
        with pytest.raises(harness.KernelFault, match="waits for ever"):
            library.launch("turns", words(None, out, extra=1))


def test_arguments_of_another_size(primitives):
    with pytest.raises(ValueError, match="takes a struct of 24 bytes, 8 are given"):
        primitives.launch("indices", b"\0" * 8)
    with pytest.raises(ValueError, match="takes 1 to 256 threads, 512 are given"):
        primitives.launch("reverse", b"\0" * 24, block=512)


@planted
def test_seeds_repeat_the_order(shim):
    """The order in which threads come, seen through a counter."""
    source = SHIM / "primitives.cu"
    library = shim(source, defines={"FORGET_BARRIER": 1})
    with library.memory() as memory:
        values = memory.put(fresh(256, np.uint32))

        def result(seed):
            out = memory.empty(256, np.uint32)
            library.launch("reverse", words(values, out), block=256, seed=seed)
            return out.tobytes()

        results = {seed: result(seed) for seed in range(1, 20)}
        assert all(result(seed) == results[seed] for seed in results)
        assert len(set(results.values())) > 3
