"""Streams of the device: torch's streams and ours are the same driver objects."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch

from accel import ArgumentError, Capabilities, Capability, DTypeError, Level
from accel.providers import Graph, Stream, Streams

from . import _native
from .torch_link import connect

__all__ = ["CudaStreams"]

_LARGEST_HANDLE = 2**64 - 1


class CudaStreams(Streams):
    """The driver's streams. The default one is the legacy default stream, torch's own default.

    Created streams do not synchronise with the default stream, and are handed to a next owner when
    the last one has let go and they have run idle: torch's allocator may ask about a stream long
    after its last use, so none is ever destroyed.
    """

    def __init__(self, index: int) -> None:
        self._shared_with_torch = connect(index)
        self._index = index
        levels = {
            Capability.STREAMS: Level.NATIVE,
            Capability.STREAM_CALLBACK: Level.NATIVE,
            Capability.STREAM_HANDLE: Level.NATIVE,
        }
        least, greatest = self.priority_range()
        if least != greatest:
            levels[Capability.STREAM_PRIORITY] = Level.NATIVE
        if self._shared_with_torch:
            levels[Capability.STREAM_TORCH] = Level.NATIVE
        if _native.supports_graphs():
            levels[Capability.STREAM_GRAPHS] = Level.NATIVE
        self.capabilities = Capabilities(levels)
        driver = _native.describe_driver()
        self.notes = (_driver_note(driver), *_missing_notes(driver))
        # The native functions themselves: a call costs what they cost.
        self.create = partial(_native.create_stream, index)  # type: ignore[method-assign]
        self.current = partial(_native.current_stream, index)  # type: ignore[method-assign]
        self.synchronize = partial(_native.synchronize_device, index)  # type: ignore[method-assign]
        # Held for good: the default stream has one object.
        self._default: Stream = _native.adopt_stream(index, 0)

    def priority_range(self) -> tuple[int, int]:
        return _native.priority_range(self._index)

    def default(self) -> Stream:
        return self._default

    def use(self, stream: Stream) -> AbstractContextManager[Stream]:
        if not isinstance(stream, _native.Stream):
            raise _not_ours("stream", stream)
        return stream

    def capture(self, stream: Stream) -> AbstractContextManager[Graph]:
        if not _native.supports_graphs():
            raise self.unsupported(Capability.STREAM_GRAPHS, "upgrade the driver")
        if not isinstance(stream, _native.Stream):
            raise _not_ours("stream", stream)
        return _native.capture(stream)

    def from_handle(self, handle: int) -> Stream:
        if not isinstance(handle, int) or not 0 <= handle <= _LARGEST_HANDLE:
            raise ArgumentError("handle", "a CUstream as an integer, 0 or above", repr(handle))
        return _native.adopt_stream(self._index, handle)

    def from_torch(self, stream: Any) -> Stream:
        if not self._shared_with_torch:
            raise self.unsupported(
                Capability.STREAM_TORCH, "use the vendor's driver and a torch built for it"
            )
        if not isinstance(stream, torch.cuda.Stream):
            raise DTypeError("stream", "a torch.cuda.Stream", repr(stream))
        if stream.device_index != self._index:
            raise ArgumentError(
                "stream",
                f"a stream of device cuda:{self._index}",
                f"one of {stream.device}",
                "use the backend of that device",
            )
        ours: Any = _native.adopt_stream(self._index, stream.cuda_stream)
        if getattr(stream, "_accel_stream", None) is not ours:
            ours._torch = stream
            _native.set_torch_id(ours, stream.stream_id, stream.device_index, stream.device_type)
        return ours  # type: ignore[no-any-return]


def _not_ours(argument: str, given: object) -> DTypeError:
    return DTypeError(
        argument,
        "a stream of the cuda backend",
        repr(given),
        "create streams with backend.streams.create(), or adopt one with from_torch",
    )


def _driver_note(driver: dict[str, Any]) -> str:
    number = int(driver["version"])
    if driver["vendor"] == "cuda":
        return f"driver {driver['library']}, CUDA {number // 1000}.{number % 1000 // 10}"
    return f"driver {driver['library']}, HIP {number // 10_000_000}.{number // 100_000 % 100}"


def _missing_notes(driver: dict[str, Any]) -> tuple[str, ...]:
    missing = ", ".join(driver["missing"])
    return (f"the driver lacks: {missing}",) if missing else ()
