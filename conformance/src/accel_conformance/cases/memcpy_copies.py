"""Copies: sizes, dtypes, strides, directions and order."""

from __future__ import annotations

import threading

import pytest
import torch

from accel import Backend, Capability, MemRef
from accel_conformance.byte_compare import assert_same_bytes, host_copy
from accel_conformance.case import case, needs
from accel_conformance.fixtures import Gates, Guards, RandomTensor
from accel_conformance.guards import Memory
from accel_conformance.strided_views import DTYPES, VIEWS, make_view

COPY = [Capability.STREAMS, Capability.COPY]
RAW = [*COPY, Capability.COPY_RAW]
MIB = 1 << 20
PINNED = pytest.param("pinned", marks=needs(Capability.PINNED))


@case(level=1, needs=COPY)
@pytest.mark.parametrize("how", ["copy", "copy_async"])
@pytest.mark.parametrize(
    "nbytes", [0, 1, 15, 16, 17, 63, 65, 4095, 4096, 4097, 65537, MIB - 1, 5 * MIB + 3]
)
def test_sizes(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, nbytes: int, how: str
) -> None:
    """Every byte arrives and none beyond, for sizes around every boundary."""
    src, dst = random_tensor(nbytes), guarded(nbytes)
    stream = backend.streams.create()
    getattr(backend.memcpy, how)(dst, src, stream)
    if how == "copy_async":
        stream.synchronize()
    assert_same_bytes(dst, src)


@case(level=1, needs=COPY)
def test_large(backend: Backend, guarded: Guards, random_tensor: RandomTensor) -> None:
    """64 MiB and an odd remainder, at an odd address."""
    size = 64 * MIB + 13
    src, dst = random_tensor(size + 1)[1:], guarded(size, offset=3)
    backend.memcpy.copy(dst, src)
    assert_same_bytes(dst, src)


@case(level=1, needs=COPY)
@pytest.mark.parametrize("source_offset", [0, 1, 7])
@pytest.mark.parametrize("target_offset", [0, 1, 5, 8])
def test_alignment(
    backend: Backend,
    guarded: Guards,
    random_tensor: RandomTensor,
    source_offset: int,
    target_offset: int,
) -> None:
    """Any alignment of either side."""
    src = random_tensor(3001 + source_offset)[source_offset:]
    dst = guarded(3001, offset=target_offset)
    backend.memcpy.copy(dst, src)
    assert_same_bytes(dst, src)


@case(level=1, needs=COPY)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, dtype: torch.dtype
) -> None:
    """All bit patterns of every dtype arrive as they are, NaN payloads included."""
    src, dst = random_tensor((37, 19), dtype), guarded((37, 19), dtype)
    backend.memcpy.copy(dst, src)
    assert_same_bytes(dst, src)


@case(level=1, needs=COPY)
@pytest.mark.parametrize("source", [*VIEWS, "expanded"])
@pytest.mark.parametrize("target", list(VIEWS))
def test_strides(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, source: str, target: str
) -> None:
    """Any strides on either side; what lies between the destination's elements stays."""
    if source == "expanded":
        src = random_tensor((6, 1, 4), torch.bfloat16).expand(6, 5, 4)
    else:
        src = make_view(random_tensor(VIEWS[source][0], torch.bfloat16), source)
    base = guarded(VIEWS[target][0], torch.bfloat16)
    expected = host_copy(base)
    make_view(expected, target).view(torch.int16).copy_(src.cpu().view(torch.int16))
    backend.memcpy.copy(make_view(base, target), src)
    assert_same_bytes(base, expected)


@case(level=1, needs=COPY)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_strided_dtypes(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, dtype: torch.dtype
) -> None:
    """A transposing copy of every dtype."""
    src, dst = random_tensor((33, 17), dtype), guarded((17, 33), dtype)
    backend.memcpy.copy(dst.transpose(0, 1), src)
    assert_same_bytes(dst.transpose(0, 1), src)


@case(level=1, needs=COPY)
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (1, 1, 1, 1), (2, 0, 2), (1, 7, 1)], ids=str)
def test_odd_shapes(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, shape: tuple[int, ...]
) -> None:
    """No axis, axes of one, and empty ones."""
    src, dst = random_tensor(shape, torch.float32), guarded(shape, torch.float32)
    backend.memcpy.copy(dst, src)
    assert_same_bytes(dst, src)


@case(level=1, needs=COPY)
def test_strides_of_unit_axes(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor
) -> None:
    """The stride of an axis of one means nothing, however odd."""
    src = random_tensor(12, torch.float32).as_strided((3, 1, 4), (4, 999, 1))
    base = guarded(12, torch.float32)
    dst = base.as_strided((3, 1, 4), (4, 0, 1))
    backend.memcpy.copy(dst, src)
    assert_same_bytes(dst, src)


@case(level=1, needs=COPY)
def test_six_axes(backend: Backend, guarded: Guards, random_tensor: RandomTensor) -> None:
    """Six axes that cannot be merged."""
    src = random_tensor((4, 6, 4, 6, 4, 4), torch.int8)[::2, ::3, ::2, ::3, ::2, ::2]
    src = src.permute(5, 3, 1, 0, 2, 4)
    base = guarded((4, 4, 4, 4, 4, 4), torch.int8)
    dst = base[::2, ::2, ::2, ::2, ::2, ::2]
    backend.memcpy.copy(dst, src)
    assert_same_bytes(dst, src)


@case(level=1, needs=COPY)
def test_large_strided(backend: Backend, guarded: Guards, random_tensor: RandomTensor) -> None:
    """A transposed copy of 8 MiB, and rows of odd length out of a wider matrix."""
    src = random_tensor((2048, 1024), torch.float32)
    dst = guarded((1024, 2048), torch.float32)
    backend.memcpy.copy(dst.t(), src)
    assert_same_bytes(dst.t(), src)
    rows = guarded((2048, 777), torch.float32)
    backend.memcpy.copy(rows, src[:, 100:877])
    assert_same_bytes(rows, src[:, 100:877])


@case(level=1, needs=COPY)
@pytest.mark.parametrize("target", ["device", "host", PINNED])
@pytest.mark.parametrize("source", ["device", "host", PINNED])
@pytest.mark.parametrize("strided", [False, True], ids=["flat", "strided"])
def test_directions(
    backend: Backend,
    guarded: Guards,
    random_tensor: RandomTensor,
    source: Memory,
    target: Memory,
    strided: bool,
) -> None:
    """Device, pageable host and pinned memory, in every direction, in one stream's order."""
    data = random_tensor((60, 70), torch.float16, device="cpu")
    src = guarded((60, 70), torch.float16, memory=source, init=data)
    dst = guarded((60, 70), torch.float16, memory=target)
    middle = guarded((60, 70), torch.float16)
    stream = backend.streams.create()
    stream.wait_stream(backend.streams.default())
    columns = slice(10, 31) if strided else slice(None)
    backend.memcpy.copy_async(middle[:, columns], src[:, columns], stream)
    backend.memcpy.copy_async(dst[:, columns], middle[:, columns], stream)
    stream.synchronize()
    assert_same_bytes(dst[:, columns], data[:, columns])


@case(level=1, needs=[*COPY, Capability.STREAM_CALLBACK])
def test_blocking_copy_in_order(
    backend: Backend, gate: Gates, guarded: Guards, random_tensor: RandomTensor
) -> None:
    """copy takes its turn in the stream, and returns when the bytes are there."""
    stream = backend.streams.create()
    src, middle, dst = random_tensor(10_000), guarded(10_000), guarded(10_000)
    held = gate(stream)
    backend.memcpy.copy_async(middle, src, stream)
    threading.Timer(0.05, held.open).start()
    backend.memcpy.copy(dst, middle, stream)
    assert held.is_open, "copy did not wait for the work before it"
    assert_same_bytes(dst, src)


@case(level=1, needs=RAW)
@pytest.mark.parametrize("kind", ["both", "dst", "src"])
@pytest.mark.parametrize("nbytes", [0, 1, 4097, MIB + 1])
def test_raw(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, kind: str, nbytes: int
) -> None:
    """Raw references on either side, or both."""
    src, dst = random_tensor(nbytes), guarded(nbytes)
    raw_src = MemRef(src.data_ptr(), nbytes, src.device, owner=src)
    raw_dst = MemRef(dst.data_ptr(), nbytes, dst.device, owner=dst)
    backend.memcpy.copy(
        dst if kind == "src" else raw_dst,
        src if kind == "dst" else raw_src,
    )
    assert_same_bytes(dst, src)


@case(level=1, needs=RAW)
def test_raw_changes_dtype(backend: Backend, guarded: Guards, random_tensor: RandomTensor) -> None:
    """A raw reference has no dtype: the tensor on the other side may have any, and any shape."""
    src = random_tensor((30, 7), torch.int64)
    dst = guarded((14, 120), torch.uint8)
    backend.memcpy.copy(dst, MemRef(src.data_ptr(), 30 * 7 * 8, src.device))
    assert_same_bytes(dst.view(-1), src)


@case(level=1, needs=RAW)
def test_raw_null(backend: Backend) -> None:
    """No bytes at no address is a no-op."""
    nothing = MemRef(0, 0, backend.device)
    backend.memcpy.copy(nothing, nothing)
    backend.memcpy.copy_async(torch.empty(0, device=backend.device), nothing)


@case(level=1, needs=[*COPY, Capability.COPY_PEER])
@pytest.mark.parametrize("strided", [False, True], ids=["flat", "strided"])
def test_peer(
    backend: Backend, peer: Backend, guarded: Guards, random_tensor: RandomTensor, strided: bool
) -> None:
    """Copies to another device of this type and back."""
    src = random_tensor((300, 500))
    there = torch.zeros(300, 500, dtype=torch.uint8, device=peer.device)
    back = guarded((300, 500))
    columns = slice(3, 401) if strided else slice(None)
    peer.streams.synchronize()
    backend.memcpy.copy(there[:, columns], src[:, columns])
    backend.memcpy.copy(back[:, columns], there[:, columns])
    assert_same_bytes(back[:, columns], src[:, columns])
