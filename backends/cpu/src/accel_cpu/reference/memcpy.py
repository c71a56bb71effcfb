"""Copies by ``Tensor.copy_``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from accel.capabilities import Capabilities, Capability, Level
from accel.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    FreedError,
    OverlapError,
    ShapeError,
    SizeError,
)
from accel.host_memory import host_memory
from accel.providers import Memcpy, MemoryInfo, MemRef, Operand, Stream

from .bytes import bytes_at, elements, shared_bytes, span
from .streams import check_stream

if TYPE_CHECKING:
    import torch

    from accel.backend import Backend

__all__ = ["ReferenceMemcpy", "checked_pair"]


class ReferenceMemcpy(Memcpy):
    """Copies and fills with torch operators; all argument checks by listing the bytes touched."""

    def __init__(self, backend: Backend) -> None:
        self._device = backend.device
        levels = {
            Capability.COPY: Level.COMPOSED,
            Capability.COPY_RAW: Level.COMPOSED,
            Capability.COPY_BATCH: Level.COMPOSED,
            Capability.COPY_2D: Level.COMPOSED,
            Capability.FILL: Level.COMPOSED,
        }
        if host_memory() is not None:
            levels[Capability.MEMORY_INFO] = Level.NATIVE
        self.capabilities = Capabilities(levels)

    def copy(self, dst: Operand, src: Operand, stream: Stream | None = None) -> None:
        self.copy_async(dst, src, stream)

    def copy_async(self, dst: Operand, src: Operand, stream: Stream | None = None) -> None:
        check_stream(stream)
        target, source = checked_pair(dst, src, "dst", "src")
        target.copy_(source)

    def copy_batch(
        self, dsts: Sequence[Operand], srcs: Sequence[Operand], stream: Stream | None = None
    ) -> None:
        check_stream(stream)
        if len(dsts) != len(srcs):
            raise ShapeError("srcs", f"{len(dsts)} operands as dsts has", len(srcs))
        pairs = [
            checked_pair(d, s, f"dsts[{i}]", f"srcs[{i}]")
            for i, (d, s) in enumerate(zip(dsts, srcs, strict=True))
        ]
        for i, (target, _) in enumerate(pairs):
            for j, (other, source) in enumerate(pairs):
                if i < j and shared_bytes(target, other):
                    raise OverlapError(f"dsts[{j}]", f"no byte of dsts[{i}]", "a common byte")
                if i != j and shared_bytes(target, source):
                    raise OverlapError(f"dsts[{i}]", f"no byte of srcs[{j}]", "a common byte")
        for target, source in pairs:
            target.copy_(source)

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
        check_stream(stream)
        for name, value in (("width", width), ("height", height)):
            if value < 0:
                raise SizeError(name, "at least 0", value)
        rows = []
        for name, operand, pitch in (("dst", dst, dst_pitch), ("src", src, src_pitch)):
            if pitch < width:
                raise SizeError(f"{name}_pitch", f"at least the width {width}", pitch)
            flat = _flat(operand, name)
            need = (height - 1) * pitch + width if width and height else 0
            if need > flat.numel():
                raise SizeError(name, f"at least {need} bytes", flat.numel())
            rows.append(flat.as_strided((height, width) if need else (0, 0), (pitch, 1)))
        target, source = rows
        if shared_bytes(target, source):
            raise OverlapError("dst", "no byte of src", "a common byte")
        target.copy_(source)

    def fill(self, dst: Operand, value: int, stream: Stream | None = None) -> None:
        check_stream(stream)
        if not isinstance(value, int) or not 0 <= value <= 255:
            raise ArgumentError("value", "a byte, 0 to 255", value)
        target = _operand(dst, "dst")
        if shared_bytes(target, None):
            raise OverlapError("dst", "distinct elements", "a tensor that overlaps itself")
        if target.numel():
            byte = bytes([value] * target.element_size())
            element = bytes_at(byte).view(elements(target).dtype)
            elements(target).copy_(element.expand(target.shape))

    def memory_info(self) -> MemoryInfo:
        known = host_memory()
        if known is None:
            raise self.unsupported(Capability.MEMORY_INFO, "give sizes in bytes")
        return MemoryInfo(*known)


def _operand(operand: object, name: str) -> torch.Tensor:
    """Any operand as a tensor without autograd."""
    import torch

    if isinstance(operand, MemRef):
        if operand.device.type != "cpu":
            raise DeviceError(name, "memory of the host", operand.device)
        if operand.nbytes < 0:
            raise SizeError(name, "at least 0 bytes", operand.nbytes)
        if not operand.pointer and operand.nbytes:
            raise ArgumentError(name, "an address", "a null pointer")
        return bytes_at((operand.pointer, operand.nbytes))
    if not isinstance(operand, torch.Tensor):
        raise DTypeError(name, "a tensor or a MemRef", type(operand).__name__)
    if operand.device.type != "cpu":
        raise DeviceError(name, "memory of the host", operand.device)
    if operand.layout is not torch.strided:
        raise DTypeError(name, "a strided tensor", operand.layout)
    if operand.numel() and span(operand)[1] > operand.untyped_storage().nbytes():
        raise FreedError(name, "a tensor that still has its memory", "a released storage")
    return operand.detach()


def _flat(operand: Operand, name: str) -> torch.Tensor:
    """A MemRef or contiguous tensor as bytes."""
    import torch

    tensor = _operand(operand, name)
    if not tensor.is_contiguous():
        raise ShapeError(name, "a contiguous tensor", f"strides {tensor.stride()}")
    return tensor.reshape(-1).view(torch.uint8)


def checked_pair(
    dst: Operand, src: Operand, dst_name: str, src_name: str
) -> tuple[torch.Tensor, ...]:
    """Both as integer tensors of the same shape, or the error that a copy raises."""
    if isinstance(dst, MemRef) or isinstance(src, MemRef):
        target, source = _flat(dst, dst_name), _flat(src, src_name)
        if target.numel() != source.numel():
            raise SizeError(src_name, f"{target.numel()} bytes as {dst_name} has", source.numel())
    else:
        target, source = _operand(dst, dst_name), _operand(src, src_name)
        if target.shape != source.shape:
            raise ShapeError(
                src_name, f"{tuple(target.shape)} as {dst_name} has", tuple(source.shape)
            )
        if target.dtype != source.dtype:
            raise DTypeError(src_name, f"{target.dtype} as {dst_name} has", source.dtype)
        target, source = elements(target), elements(source)
    if shared_bytes(target, None):
        raise OverlapError(dst_name, "distinct elements", "a tensor that overlaps itself")
    if shared_bytes(target, source):
        raise OverlapError(dst_name, f"no byte of {src_name}", "a common byte")
    return target, source
