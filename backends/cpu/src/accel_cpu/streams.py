"""Streams of the CPU: worker threads, and the calling thread as the default stream."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from accel import Capabilities, Capability, DTypeError, Level
from accel.providers import Stream, Streams

from . import _native

__all__ = ["CpuStreams"]


class CpuStreams(Streams):
    """FIFO worker threads.

    The default stream is inline: work given to it runs on the calling thread before the call
    returns, which is also where torch runs its CPU operations. A thread inside ``use(s)`` stands in
    for ``s``: entering drains it, what the thread does inside is in the stream's order, and what
    other threads give ``s`` meanwhile runs at this thread's next call on ``s``, or after it leaves.
    """

    capabilities = Capabilities(
        {
            Capability.STREAMS: Level.NATIVE,
            Capability.STREAM_PRIORITY: Level.NATIVE,
            Capability.STREAM_CALLBACK: Level.NATIVE,
            Capability.STREAM_HANDLE: Level.NATIVE,
        }
    )

    def __init__(self) -> None:
        threads = _native.thread_count()
        self.notes = (
            f"{threads} threads run stream work and large copies (ACCEL_CPU_THREADS)",
            "torch has no stream object for CPUs: streams.torch is not supported",
        )
        # The native functions themselves: a call costs what they cost.
        self.create = _native.create_stream  # type: ignore[method-assign]
        self.default = _native.default_stream  # type: ignore[method-assign]
        self.current = _native.current_stream  # type: ignore[method-assign]
        self.from_handle = _native.stream_from_handle  # type: ignore[method-assign]
        self.synchronize = _native.synchronize_all  # type: ignore[method-assign]

    def priority_range(self) -> tuple[int, int]:
        return _native.PRIORITY_RANGE

    def use(self, stream: Stream) -> AbstractContextManager[Stream]:
        if not isinstance(stream, _native.Stream):
            raise DTypeError(
                "stream",
                "a stream of the cpu backend",
                repr(stream),
                "create streams with backend.streams.create()",
            )
        return stream

    def from_torch(self, stream: Any) -> Stream:
        raise self.unsupported(
            Capability.STREAM_TORCH,
            "torch.Stream on a CPU is inert, nothing can be ordered by it: create a stream with "
            "backend.streams.create() and run torch operations inside `with stream:`",
        )
