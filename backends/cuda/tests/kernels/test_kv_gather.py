"""Slots from block tables, and uploads in arguments: the kernels on the CPU against loops."""

from __future__ import annotations

import ctypes
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

THREADS = 256


class Index(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_uint64),
        ("stride", ctypes.c_int64),
        ("wide", ctypes.c_uint32),
        ("unused", ctypes.c_uint32),
    ]


class GatherArgs(ctypes.Structure):
    _fields_ = [
        ("table", Index),
        ("lens", Index),
        ("starts", Index),
        *[
            (name, ctypes.c_int64)
            for name in ("table_column", "batch", "columns", "block_size", "blocks", "capacity")
        ],
        *[(name, ctypes.c_uint64) for name in ("slots", "count", "fault")],
    ]


class Fault(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_uint32) for name in ("state", "kind", "argument", "padding")],
        *[(name, ctypes.c_int64) for name in ("index", "limit", "position")],
        ("unused", ctypes.c_int64 * 3),
    ]


class UploadArgs(ctypes.Structure):
    _fields_ = [
        ("to", ctypes.c_uint64),
        ("bytes", ctypes.c_uint32),
        ("unused", ctypes.c_uint32),
        ("reserved", ctypes.c_uint64 * 2),
        ("words", ctypes.c_uint32 * 1016),
    ]


@pytest.fixture(scope="module")
def library(shim):
    return shim("kv_gather.cu")


def index(array, stride=None):
    if array is None:
        return Index(0, 0, 0, 0)
    step = array.strides[0] // array.itemsize if stride is None else stride
    return Index(array.ctypes.data, step, array.dtype == np.int64, 0)


def gather(library, table, lens, starts, *, block_size, blocks, capacity):
    """(slots, count, fault) as the kernel finds them."""
    with library.memory() as memory:
        slots = memory.empty(max(1, capacity), np.int64, "slots", alignment=8)
        slots[:] = -99
        count, fault = memory.empty(1, np.int64, "count", alignment=8), Fault()
        arrays = [memory.put(a, alignment=4) if a is not None else None for a in (lens, starts)]
        held = memory.put(table, "table", alignment=4)
        args = GatherArgs(
            index(held), index(arrays[0]), index(arrays[1]), held.strides[1] // held.itemsize,
            len(lens), table.shape[1], block_size, blocks, capacity, slots.ctypes.data,
            count.ctypes.data, ctypes.addressof(fault),
        )  # fmt: skip
        library.launch("kv_gather_slots", args, grid=len(lens), block=THREADS)
        return slots.copy(), int(count[0]), fault


def expected_slots(table, lens, starts, block_size):
    slots = []
    for i, length in enumerate(lens):
        first = 0 if starts is None else starts[i]
        for token in range(first, first + length):
            block = table[i][token // block_size]
            slots.append(-1 if block < 0 else block * block_size + token % block_size)
    return slots


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_slots_of_sequences(library, data):
    draw = data.draw
    block_size, columns = draw(st.sampled_from([1, 2, 16])), draw(st.integers(1, 20))
    batch, blocks = draw(st.sampled_from([1, 2, 7, 300])), 50
    kind = draw(st.sampled_from([np.int32, np.int64]))
    table = np.array(
        [[random.randrange(-1, blocks) for _ in range(columns)] for _ in range(batch)], kind
    )
    most = columns * block_size
    begin = [random.randrange(most + 1) for _ in range(batch)]
    lens = [random.randrange(most - b + 1) for b in begin]
    starts = np.array(begin, kind) if draw(st.booleans()) else None
    wanted = expected_slots(table, lens, None if starts is None else begin, block_size)
    capacity = len(wanted) + draw(st.sampled_from([0, 5]))
    slots, count, fault = gather(
        library, table, np.array(lens, kind), starts,
        block_size=block_size, blocks=blocks, capacity=capacity,
    )  # fmt: skip
    assert (count, fault.state) == (len(wanted), 0)
    assert slots[:count].tolist() == wanted
    assert (slots[count:] == -99).all()


@pytest.mark.parametrize(
    ("lens", "starts", "index_"),
    [([3, 9, 2], None, 9), ([3, -2, 2], None, -2), ([3, 4, 2], [0, 6, 0], 10)],
)  # fmt: skip
def test_a_wrong_length_leaves_its_sequence_out(library, lens, starts, index_):
    table = np.arange(12).reshape(3, 4)
    given_starts = None if starts is None else np.array(starts)
    slots, count, fault = gather(
        library, table, np.array(lens), given_starts, block_size=2, blocks=12, capacity=20
    )
    good = [*expected_slots(table[:1], [3], None, 2), *expected_slots(table[2:], [2], None, 2)]
    assert (count, slots[:count].tolist()) == (5, good)
    assert (fault.state, fault.kind, fault.argument) == (2, 5, 8)
    assert (fault.index, fault.limit, fault.position) == (index_, 9, 1)


def test_a_block_out_of_range_leaves_its_tokens_out(library):
    table = np.array([[0, 1], [12, 3]], np.int32)
    slots, count, fault = gather(
        library, table, np.array([4, 3], np.int32), None, block_size=2, blocks=12, capacity=9
    )
    assert (count, slots[:7].tolist()) == (7, [0, 1, 2, 3, -1, -1, 6])
    assert (fault.state, fault.kind, fault.argument, fault.index) == (2, 2, 4, 12)


def test_more_tokens_than_fit_are_cut_and_reported(library):
    table = np.arange(6).reshape(2, 3)
    slots, count, fault = gather(
        library, table, np.array([6, 5]), None, block_size=2, blocks=6, capacity=8
    )
    assert (count, slots.tolist()) == (8, [0, 1, 2, 3, 4, 5, 6, 7])
    assert (fault.state, fault.index, fault.limit) == (2, 11, 9)


@pytest.mark.parametrize("count", [1, 2, 255, 1000, 1016])
def test_numbers_of_the_arguments(library, count):
    with library.memory() as memory:
        target = memory.empty(count, np.uint32, alignment=4)
        numbers = [random.getrandbits(32) for _ in range(1016)]
        words = (ctypes.c_uint32 * 1016)(*numbers)
        args = UploadArgs(target.ctypes.data, 4 * count, 0, (ctypes.c_uint64 * 2)(), words)
        library.launch("kv_upload", args, block=THREADS)
        assert target.tolist() == numbers[:count]
