"""Copies and fills of any device of torch: ``copy_`` and ``fill_`` on its streams.

torch makes no tensors of raw addresses of devices, so MemRefs of devices are refused; those of the
host are tensors here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

from accel import (
    ArgumentError,
    Capabilities,
    Capability,
    DeviceError,
    DTypeError,
    FreedError,
    Level,
    OverlapError,
    ShapeError,
    SizeError,
)
from accel.providers import Memcpy, MemoryInfo, MemRef, Operand, Stream
from accel.tensor_overlap import check_disjoint, check_distinct, share_bytes
from accel.torch_device.streams import TorchStream
from accel.torch_device.strided import as_integers
from accel.torch_kernels.writing import check_memory

from .streams import GenericStreams

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["GenericMemcpy"]

#: A pair of integer tensors of one shape and dtype, checked.
_Pair = tuple[torch.Tensor, torch.Tensor]


class GenericMemcpy(Memcpy):
    """Copies by torch. Between the device and memory of backend.pinned the caller does not wait,
    where both sides are contiguous; with other host memory it does."""

    def __init__(self, backend: Backend) -> None:
        self._streams = cast(GenericStreams, backend.streams)
        self._pinned = backend.pinned
        self._device = self._streams.device
        composed = (Capability.COPY, Capability.COPY_BATCH, Capability.COPY_2D, Capability.FILL)
        levels = dict.fromkeys(composed, Level.COMPOSED)
        space = self._streams.torch
        if hasattr(space, "mem_get_info"):
            levels[Capability.MEMORY_INFO] = Level.NATIVE
        if int(space.device_count()) > 1:
            levels[Capability.COPY_PEER] = Level.COMPOSED
        self.capabilities = Capabilities(levels)
        self.notes = (
            "copies by torch's copy_; host memory blocks the caller, but contiguous memory of"
            " backend.pinned",
        )

    def copy(self, dst: Operand, src: Operand, stream: Stream | None = None) -> None:
        target = self._streams.resolve(stream)
        self.copy_async(dst, src, target)
        target.synchronize()

    def copy_async(self, dst: Operand, src: Operand, stream: Stream | None = None) -> None:
        target = self._streams.resolve(stream)
        self._issue(self._pair(dst, src, "dst", "src"), target)

    def copy_batch(
        self, dsts: Sequence[Operand], srcs: Sequence[Operand], stream: Stream | None = None
    ) -> None:
        target = self._streams.resolve(stream)
        if len(dsts) != len(srcs):
            raise ShapeError("srcs", f"{len(dsts)} operands as dsts has", len(srcs))
        pairs = [
            self._pair(d, s, f"dsts[{i}]", f"srcs[{i}]")
            for i, (d, s) in enumerate(zip(dsts, srcs, strict=True))
        ]
        for i, (written, _) in enumerate(pairs):
            for j, (other, read) in enumerate(pairs):
                if i < j and share_bytes(written, other):
                    raise OverlapError(f"dsts[{j}]", f"no byte of dsts[{i}]", "a common byte")
                if i != j and share_bytes(written, read):
                    raise OverlapError(f"dsts[{i}]", f"no byte of srcs[{j}]", "a common byte")
        for pair in pairs:
            self._issue(pair, target)

    def copy_2d(
        self,
        dst: Operand,
        src: Operand,
        *,
        width: int,
        height: int,
        dst_pitch: int,
        src_pitch: int,
        stream: Stream | None = None,
    ) -> None:
        target = self._streams.resolve(stream)
        for name, value in (("width", width), ("height", height)):
            if value < 0:
                raise SizeError(name, "0 or more", value)
        written = self._rows(dst, "dst", width, height, dst_pitch)
        read = self._rows(src, "src", width, height, src_pitch)
        check_disjoint("dst", written, "src", read)
        self._issue((written, read), target)

    def fill(self, dst: Operand, value: int, stream: Stream | None = None) -> None:
        target = self._streams.resolve(stream)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
            raise ArgumentError("value", "a byte, 0 to 255", repr(value))
        written = as_integers(self._tensor(dst, "dst"))
        check_distinct("dst", written)
        if not written.numel():
            return
        if written.device not in (self._device, torch.device("cpu")):
            raise DeviceError(
                "dst", f"memory of the host or of {self._device}", written.device,
                "use the backend of that device",
            )  # fmt: skip
        size = written.element_size()
        word = int.from_bytes(bytes([value]) * size, "little", signed=True)
        if written.is_cpu:
            target.synchronize()
            written.fill_(word)
            return
        with target:
            written.fill_(word)
        written.record_stream(target.as_torch())

    def memory_info(self) -> MemoryInfo:
        if Capability.MEMORY_INFO not in self.capabilities:
            raise self.unsupported(Capability.MEMORY_INFO, "give sizes in bytes")
        free, total = self._streams.torch.mem_get_info(self._streams.index)
        return MemoryInfo(free=int(free), total=int(total))

    # --- operands

    def _tensor(self, operand: object, name: str) -> torch.Tensor:
        if isinstance(operand, MemRef):
            if operand.device.type == "cpu":
                return _bytes_of(operand, name)
            raise self.unsupported(
                Capability.COPY_RAW, "give the tensor that has the memory: torch takes no addresses"
            )
        if not isinstance(operand, torch.Tensor):
            raise DTypeError(name, "a tensor or a MemRef", type(operand).__name__)
        if operand.device.type not in ("cpu", self._device.type):
            raise DeviceError(
                name, f"memory of the host or of {self._device.type} devices", operand.device
            )
        if operand.layout is not torch.strided:
            raise DTypeError(name, "a strided tensor", operand.layout)
        check_memory([operand], (name,))
        return operand.detach()

    def _pair(self, dst: Operand, src: Operand, dst_name: str, src_name: str) -> _Pair:
        written, read = self._tensor(dst, dst_name), self._tensor(src, src_name)
        if isinstance(dst, MemRef) or isinstance(src, MemRef):
            written, read = _flat(written, dst_name), _flat(read, src_name)
            if written.numel() != read.numel():
                raise SizeError(src_name, f"{written.numel()} bytes as {dst_name} has",
                                read.numel())  # fmt: skip
        if written.shape != read.shape:
            raise ShapeError(src_name, f"{tuple(written.shape)} as {dst_name} has",
                             tuple(read.shape))  # fmt: skip
        if written.dtype != read.dtype:
            raise DTypeError(src_name, f"{written.dtype} as {dst_name} has", read.dtype)
        written, read = as_integers(written), as_integers(read)
        check_distinct(dst_name, written)
        check_disjoint(dst_name, written, src_name, read)
        return written, read

    def _rows(
        self, operand: Operand, name: str, width: int, height: int, pitch: int
    ) -> torch.Tensor:
        if pitch < width:
            raise SizeError(f"{name}_pitch", f"at least the width {width}", pitch)
        flat = _flat(self._tensor(operand, name), name)
        need = (height - 1) * pitch + width if width and height else 0
        if need > flat.numel():
            raise SizeError(name, f"at least {need} bytes", flat.numel())
        shape = (height, width) if need else (0, 0)
        return flat.as_strided(shape, (pitch, 1))

    # --- issuing

    def _issue(self, pair: _Pair, target: TorchStream) -> None:
        dst, src = pair
        if not dst.numel():
            return
        if dst.is_cpu and src.is_cpu:
            target.synchronize()  # torch has nothing for the host in a stream's order
            dst.copy_(src)
            return
        host = [t for t in pair if t.is_cpu]
        flat = dst.is_contiguous() and src.is_contiguous()
        aside = not host or (flat and self._pinned.is_pinned(host[0]))
        with target:
            dst.copy_(src, non_blocking=aside)
        if host and aside:
            self._streams.keep(target, *host)
        for tensor in pair:
            if not tensor.is_cpu:
                tensor.record_stream(target.as_torch())


def _bytes_of(memory: MemRef, name: str) -> torch.Tensor:
    if memory.nbytes < 0:
        raise SizeError(name, "0 bytes or more", memory.nbytes)
    if getattr(memory.owner, "freed", False):
        raise FreedError(name, "memory whose owner was not freed", repr(memory.owner))
    if not memory.nbytes:
        return torch.empty(0, dtype=torch.uint8)
    if not memory.pointer:
        raise ArgumentError(name, "an address", "a null pointer")
    block: Any = (ctypes.c_char * memory.nbytes).from_address(memory.pointer)
    block.owner = memory.owner
    return torch.frombuffer(block, dtype=torch.uint8)


def _flat(tensor: torch.Tensor, name: str) -> torch.Tensor:
    if not tensor.is_contiguous():
        raise ShapeError(name, "a contiguous tensor", f"strides {tensor.stride()}")
    return tensor.view(-1).view(torch.uint8) if tensor.numel() else tensor.new_empty(0)
