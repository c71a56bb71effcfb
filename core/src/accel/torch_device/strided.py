"""Copies and fills of strided device memory, by torch's operators on bytes.

Values are moved as integers of the element's size, so that no dtype is converted or refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .streams import TorchStream, TorchStreams

if TYPE_CHECKING:
    from ..providers import PinnedMemory

__all__ = ["StridedCopies", "as_integers"]

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class StridedCopies:
    """What the native part leaves over; its checks are done, and operands share shape and dtype."""

    def __init__(self, streams: TorchStreams, pinned: PinnedMemory, native: Any) -> None:
        self._streams = streams
        self._pinned = pinned
        self._native = native

    def copy(self, dst: torch.Tensor, src: torch.Tensor, stream: TorchStream) -> None:
        """Queue ``dst[...] = src[...]`` on ``stream``; at least one of them is on a device."""
        dst, src = as_integers(dst), as_integers(src)
        with stream:
            if dst.device == src.device:
                _on_device(dst, src)
            elif dst.is_cpu:
                dense = self._packed(src, stream)
                self._to_host(dst, dense, stream)
            elif src.is_cpu:
                self._from_host(dst, src, stream)
            else:
                self._between(dst, src, stream)
        for tensor in (dst, src):
            if not tensor.is_cpu:
                tensor.record_stream(stream.as_torch())

    def fill(self, dst: torch.Tensor, value: int, stream: TorchStream) -> None:
        """Queue setting every byte of ``dst``, which is on the stream's device."""
        elements = as_integers(dst)
        size = elements.element_size()
        word = int.from_bytes(bytes([value]) * size, "little", signed=True)
        with stream:
            elements.fill_(word)
        elements.record_stream(stream.as_torch())

    # --- ways

    def _packed(self, src: torch.Tensor, stream: TorchStream) -> torch.Tensor:
        """``src`` contiguous, on its own device and in ``stream``'s order."""
        if src.is_contiguous():
            return src
        if src.device == stream.device:
            return src.contiguous()
        there = self._other(src.device)
        self._wait(there, _marked(stream))
        with self._streams.torch.device(src.device), self._streams.torch.stream(there):
            dense = src.contiguous()
            src.record_stream(there)
            done = there.record_event()
        there.synchronize()
        self._wait(stream.as_torch(), done)
        return dense

    def _between(self, dst: torch.Tensor, src: torch.Tensor, stream: TorchStream) -> None:
        dense = self._packed(src, stream)
        if dst.is_contiguous():
            self._flat(dst, dense, stream)
            return
        if dst.device == stream.device:
            landed = torch.empty(dst.shape, dtype=dst.dtype, device=dst.device)
            self._flat(landed, dense, stream)
            _on_device(dst, landed)
            return
        there = self._other(dst.device)
        with self._streams.torch.device(dst.device), self._streams.torch.stream(there):
            landed = torch.empty(dst.shape, dtype=dst.dtype, device=dst.device)
        there.synchronize()
        self._flat(landed, dense, stream)
        self._wait(there, _marked(stream))
        with self._streams.torch.device(dst.device), self._streams.torch.stream(there):
            _on_device(dst, landed)
            done = there.record_event()
        there.synchronize()
        self._wait(stream.as_torch(), done)

    def _from_host(self, dst: torch.Tensor, src: torch.Tensor, stream: TorchStream) -> None:
        if not src.is_contiguous():
            packed = self._pinned.empty(src.shape, src.dtype)
            self._flat(packed, src, stream)
            src = packed
        if dst.is_contiguous():
            self._flat(dst, src, stream)
            return
        if dst.device != stream.device:
            staged = torch.empty(src.shape, dtype=src.dtype, device=stream.device)
            self._flat(staged, src, stream)
            self._between(dst, staged, stream)
            return
        landed = torch.empty(dst.shape, dtype=dst.dtype, device=dst.device)
        self._flat(landed, src, stream)
        _on_device(dst, landed)

    def _to_host(self, dst: torch.Tensor, dense: torch.Tensor, stream: TorchStream) -> None:
        if dst.is_contiguous():
            self._flat(dst, dense, stream)
            return
        packed = self._pinned.empty(dst.shape, dst.dtype)
        self._flat(packed, dense, stream)
        self._flat(dst, packed, stream)

    def _flat(self, dst: torch.Tensor, src: torch.Tensor, stream: TorchStream) -> None:
        """What the native part takes; on the host any strides."""
        done = self._native.copy(dst, src, stream.submit_handle(), stream.as_torch())
        assert done, "the native part takes contiguous operands"

    def _wait(self, later: Any, event: Any) -> None:
        """``later`` waits for ``event``, of another device. Each device may have a host-side queue:
        the wait must have left its own before the event may be destroyed, through the other."""
        later.wait_event(event)
        with self._streams.torch.device(later.device):
            _ = getattr(later, self._streams.handle_name)

    def _other(self, device: torch.device) -> Any:
        with self._streams.torch.device(device):
            return self._streams.torch.current_stream(device)


def _marked(stream: TorchStream) -> Any:
    """torch's event behind all that ``stream`` has, recorded and not only queued."""
    event = stream.as_torch().record_event()
    stream.submit_handle()
    return event


def _on_device(dst: torch.Tensor, src: torch.Tensor) -> None:
    dst.copy_(src, non_blocking=True)


def as_integers(tensor: torch.Tensor) -> torch.Tensor:
    """The same bytes as integers; complex numbers as pairs of them."""
    tensor = tensor.detach()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    wanted = _INTEGERS[tensor.element_size()]
    return tensor if tensor.dtype is wanted else tensor.view(wanted)
