"""Faults that kernels report, as AsyncErrors of their stream. The kernel is the fake driver's."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from accel import AccelError, ArgumentError, AsyncError, SlotError
from accel_cuda import _native

SLOT, BLOCK, POSITION, LENGTH = 1, 2, 3, 5
ARGUMENTS = {0: "indices", 3: "slots", 4: "block_table", 5: "old_positions", 8: "seq_lens"}


class Fault(ctypes.Structure):
    """The argument struct of the fake driver's kernel ``report_fault``."""

    _fields_ = [
        ("record", ctypes.c_uint64),
        ("kind", ctypes.c_uint32),
        ("argument", ctypes.c_uint32),
        ("index", ctypes.c_int64),
        ("limit", ctypes.c_int64),
        ("position", ctypes.c_int64),
    ]


def report(stream: Any, kind: int, argument: int, index: int, limit: int, position: int) -> None:
    module = _native.load_module(0, b"any")
    kernel = _native.function(module, "report_fault")
    args = Fault(_native.fault_address(stream), kind, argument, index, limit, position)
    _native.launch(stream, kernel, (1, 1, 1), 32, 0, bytes(args))


def test_a_slot_out_of_range(backend: Any) -> None:
    stream, other = backend.streams.create(), backend.streams.create()
    report(stream, SLOT, 2, 4096, 1024, 7)
    other.synchronize()
    with pytest.raises(AsyncError) as caught:
        stream.synchronize()
    cause = caught.value.__cause__
    assert isinstance(cause, SlotError)
    assert cause.argument == "dst_slots"
    assert cause.expected == "slots below 1024"
    assert cause.given == "4096 at position 7"
    assert "ACCEL_CHECK_DEVICE_SLOTS=1" in cause.cure
    stream.synchronize()  # raised once
    report(stream, SLOT, 1, -5, 3, 0)  # and the record is free for the next
    with pytest.raises(AsyncError, match="src_slots"):
        backend.streams.synchronize()


@pytest.mark.parametrize(
    ("kind", "argument", "error"),
    [
        (BLOCK, 4, SlotError),
        (BLOCK, 1, SlotError),
        (POSITION, 5, ArgumentError),
        (LENGTH, 8, ArgumentError),
        (99, 0, AccelError),
    ],
)
def test_every_kind(backend: Any, kind: int, argument: int, error: type[AccelError]) -> None:
    stream = backend.streams.create()
    report(stream, kind, argument, 12, 10, 3)
    with pytest.raises(AsyncError) as caught:
        stream.synchronize()
    cause = caught.value.__cause__
    assert isinstance(cause, error)
    if argument in ARGUMENTS:
        assert ARGUMENTS[argument] in str(cause)
    assert "12" in str(cause)


def test_the_first_of_a_launch_is_kept(backend: Any) -> None:
    stream = backend.streams.create()
    report(stream, SLOT, 3, 100, 10, 0)
    report(stream, SLOT, 3, 200, 10, 1)
    with pytest.raises(AsyncError, match="given 100 at position 0"):
        stream.synchronize()


def test_in_a_graph(backend: Any) -> None:
    """A replay's faults are the replaying stream's."""
    captured, stream = backend.streams.create(), backend.streams.create()
    with backend.streams.capture(captured) as graph:
        report(captured, SLOT, 3, 100, 10, 0)
    captured.synchronize()
    for _ in range(2):
        graph.replay(stream)
        with pytest.raises(AsyncError, match="given 100 at position 0"):
            stream.synchronize()


def test_launches_are_checked(backend: Any, driver: Any) -> None:
    module = _native.load_module(0, b"any")
    with pytest.raises(AccelError, match="cuModuleGetFunction failed: CUDA_ERROR_NOT_FOUND"):
        _native.function(module, "no_such_kernel")
    kernel = _native.function(module, "report_fault")
    stream = backend.streams.create()
    with pytest.raises(AccelError, match="cuLaunchKernel"):
        _native.launch(stream, kernel, (0, 1, 1), 32, 0, bytes(48))
    assert _native.resident_blocks(0, kernel, 128) == 2
