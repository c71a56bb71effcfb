"""Copies: what must be refused, naming the argument, before a byte is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from accel import (
    ArgumentError,
    Backend,
    Capability,
    DeviceError,
    DTypeError,
    FreedError,
    MemRef,
    OverlapError,
    ShapeError,
    SizeError,
)
from accel_conformance.byte_compare import assert_same_bytes, host_copy
from accel_conformance.case import case
from accel_conformance.fixtures import Guards, RandomTensor
from accel_conformance.refusals import assert_untouched

COPY = [Capability.STREAMS, Capability.COPY]
RAW = [*COPY, Capability.COPY_RAW]
BATCH = [Capability.STREAMS, Capability.COPY_BATCH]
ROWS = [Capability.STREAMS, Capability.COPY_2D]
FILL = [Capability.STREAMS, Capability.FILL]


def _settle(backend: Backend) -> Callable[[], None]:
    return backend.streams.synchronize


@case(level=1, needs=COPY)
@pytest.mark.parametrize("how", ["copy", "copy_async"])
def test_refuse_shapes(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, how: str
) -> None:
    """Other shapes are refused, also with the same number of elements, and never broadcast."""
    copy = getattr(backend.memcpy, how)
    src = random_tensor((6, 4), torch.float32)
    for shape in [(4, 6), (24,), (6, 4, 1), (6, 5), (1, 4), ()]:
        dst = guarded(shape, torch.float32)
        assert_untouched(
            (ShapeError, SizeError), ("dst", "src"), lambda d=dst: copy(d, src), dst,  # type: ignore[misc]
            settle=_settle(backend),
        )  # fmt: skip


@case(level=1, needs=COPY)
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.int32, torch.int16, torch.uint8, torch.float64], ids=str
)
def test_refuse_dtypes(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, dtype: torch.dtype
) -> None:
    """Another dtype is refused, also of the same width: a copy converts nothing."""
    src = random_tensor(64, torch.bfloat16)
    dst = guarded(64, dtype)
    assert_untouched(
        DTypeError, ("dst", "src"), lambda: backend.memcpy.copy(dst, src), dst,
        settle=_settle(backend),
    )  # fmt: skip


@case(level=1, needs=COPY)
@pytest.mark.parametrize("wrong", [None, 7, b"bytes", [1, 2, 3]], ids=lambda w: type(w).__name__)
def test_refuse_no_operand(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, wrong: object
) -> None:
    """What is neither a tensor nor a MemRef is a DTypeError for the argument it was given as."""
    good = guarded(16)
    copy = backend.memcpy.copy
    settle = _settle(backend)
    assert_untouched(DTypeError, "src", lambda: copy(good, wrong), good, settle=settle)  # type: ignore[arg-type]
    assert_untouched(DTypeError, "dst", lambda: copy(wrong, good), good, settle=settle)  # type: ignore[arg-type]


@case(level=1, needs=COPY)
def test_refuse_devices(backend: Backend, guarded: Guards) -> None:
    """Memory that the backend cannot reach is a DeviceError."""
    nowhere = torch.empty(16, dtype=torch.uint8, device="meta")
    good = guarded(16)
    copy, settle = backend.memcpy.copy, _settle(backend)
    assert_untouched(DeviceError, "src", lambda: copy(good, nowhere), good, settle=settle)
    assert_untouched(DeviceError, "dst", lambda: copy(nowhere, good), good, settle=settle)


@case(level=1, needs=COPY)
@pytest.mark.parametrize("stream", ["a stream", 0, object()], ids=lambda s: type(s).__name__)
def test_refuse_no_stream(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, stream: object
) -> None:
    """What is no stream of this backend is refused as such."""
    dst, src = guarded(16), random_tensor(16)
    assert_untouched(
        ArgumentError, "stream", lambda: backend.memcpy.copy_async(dst, src, stream), dst,  # type: ignore[arg-type]
        settle=_settle(backend),
    )  # fmt: skip


OVERLAPS: dict[str, Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {
    "itself": lambda t: (t, t),
    "one byte": lambda t: (t[:600], t[599:1199]),
    "shifted by one": lambda t: (t[1:601], t[:600]),
    "inside rows": lambda t: (t.view(40, 30)[:, :20], t.view(40, 30)[:, 10:]),
    "same elements, other order": lambda t: (t[:1156].view(34, 34), t[:1156].view(34, 34).t()),
    "steps that meet": lambda t: (t[:1200:4], t[:900:3]),
}
APART: dict[str, Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {
    "neighbours": lambda t: (t[:600], t[600:1200]),
    "even and odd": lambda t: (t[::2], t[1::2]),
    "columns": lambda t: (t.view(40, 30)[:, :15], t.view(40, 30)[:, 15:]),
    "rows in turn": lambda t: (t.view(40, 30)[::2], t.view(40, 30)[1::2]),
    "columns in turn": lambda t: (t.view(40, 30)[:, ::2], t.view(40, 30)[:, 1::2]),
    "steps that never meet": lambda t: (t[0:1200:6], t[3:1200:6]),
}


@case(level=1, needs=COPY)
@pytest.mark.parametrize("how", ["copy", "copy_async"])
@pytest.mark.parametrize("name", list(OVERLAPS))
def test_refuse_overlap(backend: Backend, guarded: Guards, name: str, how: str) -> None:
    """Source and destination that share a byte are refused."""
    base = guarded(1200)
    dst, src = OVERLAPS[name](base)
    assert_untouched(
        OverlapError, ("dst", "src"), lambda: getattr(backend.memcpy, how)(dst, src), base,
        settle=_settle(backend),
    )  # fmt: skip


@case(level=1, needs=COPY)
@pytest.mark.parametrize("name", list(APART))
def test_no_false_overlap(backend: Backend, guarded: Guards, name: str) -> None:
    """Views of one allocation that share no byte are copied, however they are interleaved."""
    base = guarded(1200)
    expected = host_copy(base)
    wanted_dst, wanted_src = APART[name](expected)
    wanted_dst.copy_(wanted_src.clone())
    dst, src = APART[name](base)
    backend.memcpy.copy(dst, src)
    assert_same_bytes(base, expected)


@case(level=1, needs=COPY)
@pytest.mark.parametrize("strides", [(0, 1), (1, 1), (2, 1), (0, 0)], ids=str)
def test_refuse_self_overlap(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, strides: tuple[int, int]
) -> None:
    """A destination that names a byte twice is refused."""
    base = guarded(100)
    dst = base.as_strided((5, 4), strides)
    src = random_tensor((5, 4))
    assert_untouched(
        OverlapError, "dst", lambda: backend.memcpy.copy(dst, src), base, settle=_settle(backend)
    )


@case(level=1, needs=RAW)
def test_refuse_raw_sizes(backend: Backend, guarded: Guards, random_tensor: RandomTensor) -> None:
    """A raw reference of another size, of negative size, or without an address is refused."""
    dst, src = guarded(64), random_tensor(64)
    wrong = [
        (MemRef(src.data_ptr(), 63, src.device, owner=src), SizeError),
        (MemRef(src.data_ptr(), 65, src.device, owner=src), SizeError),
        (MemRef(src.data_ptr(), -64, src.device, owner=src), SizeError),
        (MemRef(0, 64, src.device), ArgumentError),
    ]
    for raw, error in wrong:
        assert_untouched(
            error, ("dst", "src"), lambda r=raw: backend.memcpy.copy(dst, r), dst,  # type: ignore[misc]
            settle=_settle(backend),
        )  # fmt: skip


@case(level=1, needs=RAW)
def test_refuse_raw_needs_contiguous(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor
) -> None:
    """A strided tensor opposite a raw reference is refused, on either side."""
    base = guarded((8, 16))
    other = random_tensor(64)
    raw = MemRef(other.data_ptr(), 64, other.device, owner=other)
    copy, settle = backend.memcpy.copy, _settle(backend)
    strided = base[:, ::2]
    assert_untouched(ArgumentError, "dst", lambda: copy(strided, raw), base, settle=settle)
    assert_untouched(ArgumentError, "src", lambda: copy(raw, strided), other, settle=settle)


@case(level=1, needs=RAW)
def test_refuse_raw_overlap(backend: Backend, guarded: Guards) -> None:
    """Raw references that share a byte are refused."""
    base = guarded(200)
    dst = MemRef(base.data_ptr(), 100, base.device, owner=base)
    src = MemRef(base.data_ptr() + 99, 100, base.device, owner=base)
    settle = _settle(backend)
    copy = backend.memcpy.copy
    assert_untouched(OverlapError, ("dst", "src"), lambda: copy(dst, src), base, settle=settle)
    assert_untouched(
        OverlapError, ("dst", "src"), lambda: copy(base[50:150], src), base, settle=settle
    )


@case(level=1, needs=COPY)
@pytest.mark.parametrize("side", ["dst", "src"])
def test_refuse_freed(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, side: str
) -> None:
    """A tensor whose storage was released is a FreedError, not a read of what was there."""
    good, gone = guarded(4096), random_tensor(4096)
    gone.untyped_storage().resize_(0)
    pair = (gone, good) if side == "dst" else (good, gone)
    assert_untouched(
        FreedError, side, lambda: backend.memcpy.copy(*pair), good, settle=_settle(backend)
    )


@case(level=1, needs=BATCH)
@pytest.mark.parametrize("position", [0, 3, 7])
@pytest.mark.parametrize("problem", ["shape", "dtype", "device", "operand"])
def test_refuse_batch_bad_pair(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, problem: str, position: int
) -> None:
    """One bad pair: named with its index, and no other pair is copied."""
    dsts = [guarded(50) for _ in range(8)]
    srcs: list[torch.Tensor] = [random_tensor(50) for _ in range(8)]
    bad: dict[str, object] = {
        "shape": random_tensor(49),
        "dtype": random_tensor(50, torch.int8),
        "device": torch.empty(50, dtype=torch.uint8, device="meta"),
        "operand": "no tensor",
    }
    srcs[position] = bad[problem]  # type: ignore[call-overload]
    names = (f"srcs[{position}]", f"dsts[{position}]")
    assert_untouched(
        ArgumentError, names, lambda: backend.memcpy.copy_batch(dsts, srcs), *dsts,
        settle=_settle(backend),
    )  # fmt: skip


@case(level=1, needs=BATCH)
def test_refuse_batch_lengths(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor
) -> None:
    """Lists of different lengths are refused."""
    dsts, srcs = [guarded(10) for _ in range(3)], [random_tensor(10) for _ in range(2)]
    batch, settle = backend.memcpy.copy_batch, _settle(backend)
    assert_untouched(ArgumentError, ("dsts", "srcs"), lambda: batch(dsts, srcs), *dsts,
                     settle=settle)  # fmt: skip


@case(level=1, needs=BATCH)
@pytest.mark.parametrize("kind", ["two destinations", "a source", "nested", "a byte"])
def test_refuse_batch_overlap(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, kind: str
) -> None:
    """A destination that shares bytes with another pair's operands is refused."""
    base, spare, src = guarded(4000), guarded(1000), random_tensor(4000)
    pairs: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {
        "two destinations": [(base[:100], src[:100]), (base[50:150], src[200:300])],
        "a source": [(base[:100], src[:100]), (spare[:100], base[50:150])],
        "nested": [(base[:1000], src[:1000]), (base[400:500], src[1400:1500])],
        "a byte": [(base[:100], src[:100]), (base[99:199], src[200:300])],
    }
    # Far apart in the list, with harmless pairs between.
    fillers = [(base[2000 + i * 10 : 2010 + i * 10], src[i * 10 : i * 10 + 10]) for i in range(50)]
    chosen = [pairs[kind][0], *fillers, pairs[kind][1]]
    dsts, srcs = [d for d, _ in chosen], [s for _, s in chosen]
    last = len(chosen) - 1
    names = [f"{side}[{i}]" for side in ("dsts", "srcs") for i in (0, last)]
    assert_untouched(
        OverlapError, names, lambda: backend.memcpy.copy_batch(dsts, srcs), base, spare,
        settle=_settle(backend),
    )  # fmt: skip


@case(level=1, needs=ROWS)
@pytest.mark.parametrize(
    ("argument", "extents"),
    [
        ("width", (-1, 4, 16, 16)),
        ("height", (8, -1, 16, 16)),
        ("dst_pitch", (8, 4, 7, 16)),
        ("src_pitch", (8, 4, 16, 7)),
        ("dst", (8, 5, 16, 8)),
        ("src", (8, 5, 8, 16)),
        ("dst", (8, 4, 19, 16)),
        ("src", (8, 4, 16, 19)),
    ],
)
def test_refuse_rows(
    backend: Backend,
    guarded: Guards,
    random_tensor: RandomTensor,
    argument: str,
    extents: tuple[int, int, int, int],
) -> None:
    """Negative extents, pitches below the width and rows past the end are SizeErrors."""
    width, height, dst_pitch, src_pitch = extents
    dst, src = guarded(64), random_tensor(64)

    def call() -> None:
        backend.memcpy.copy_2d(
            dst, src, width=width, height=height, dst_pitch=dst_pitch, src_pitch=src_pitch
        )

    also = {"dst": ("dst", "height", "dst_pitch"), "src": ("src", "height", "src_pitch")}
    allowed = also.get(argument, (argument,))
    assert_untouched(SizeError, allowed, call, dst, settle=_settle(backend))


@case(level=1, needs=ROWS)
def test_refuse_rows_overlap(backend: Backend, guarded: Guards) -> None:
    """Rows that share bytes are refused; rows that interleave without sharing are copied."""
    base = guarded(1000)
    extents: dict[str, Any] = {"width": 10, "height": 9, "dst_pitch": 20, "src_pitch": 20}
    copy_2d = backend.memcpy.copy_2d
    assert_untouched(
        OverlapError, ("dst", "src"), lambda: copy_2d(base[:500], base[9:509], **extents), base,
        settle=_settle(backend),
    )  # fmt: skip
    expected = host_copy(base)
    expected[:180].view(9, 20)[:, :10] = expected[:180].view(9, 20)[:, 10:].clone()
    copy_2d(base[:500], base[10:510], **extents)
    backend.streams.current().synchronize()
    assert_same_bytes(base, expected)


@case(level=1, needs=ROWS)
def test_refuse_rows_need_contiguous(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor
) -> None:
    """Strided operands of copy_2d are refused."""
    base, src = guarded((10, 20)), random_tensor((10, 20))
    extents: dict[str, Any] = {"width": 4, "height": 2, "dst_pitch": 10, "src_pitch": 10}
    copy_2d, settle = backend.memcpy.copy_2d, _settle(backend)
    assert_untouched(
        ArgumentError, "dst", lambda: copy_2d(base[:, ::2], src, **extents), base, settle=settle
    )
    assert_untouched(
        ArgumentError, "src", lambda: copy_2d(base, src[:, ::2], **extents), base, settle=settle
    )


@case(level=1, needs=FILL)
@pytest.mark.parametrize("value", [-1, 256, 1 << 40, 1.5, "a", None], ids=repr)
def test_refuse_fill_value(backend: Backend, guarded: Guards, value: object) -> None:
    """What is no byte is refused."""
    dst = guarded(100)
    assert_untouched(
        ArgumentError, "value", lambda: backend.memcpy.fill(dst, value), dst,  # type: ignore[arg-type]
        settle=_settle(backend),
    )  # fmt: skip


@case(level=1, needs=FILL)
def test_refuse_fill_operand(backend: Backend) -> None:
    """Unreachable memory and what is no operand are refused."""
    settle = _settle(backend)
    fill = backend.memcpy.fill
    nowhere = torch.empty(16, device="meta")
    assert_untouched(DeviceError, "dst", lambda: fill(nowhere, 0), settle=settle)
    assert_untouched(DTypeError, "dst", lambda: fill("text", 0), settle=settle)  # type: ignore[arg-type]
