"""Defects under what core builds on a backend: pools, staging and copy streams must show them."""

from __future__ import annotations

import threading
from typing import Any

import accel

from .defect import Defect
from .wrapping import WrappedEvent, WrappedEvents, WrappedKV, WrappedMemcpy, WrappedStream, raw
from .wrapping import WrappedStreams as Streams

__all__ = ["DEFECTS"]


def _streams(**members: Any) -> Any:
    """Streams whose stream objects have these members instead."""
    stream = type("BrokenStream", (WrappedStream,), members)
    return type("BrokenStreams", (Streams,), {"stream_type": stream})


def _nothing(self: Any, *args: Any) -> None:
    return None


def _events(**members: Any) -> dict[str, Any]:
    event = type("BrokenEvent", (WrappedEvent,), members)
    stream = type("Stream", (WrappedStream,), {"event_type": event})
    return {
        "events": type("BrokenEvents", (WrappedEvents,), {"event_type": event}),
        "streams": type("BrokenStreams", (Streams,), {"stream_type": stream}),
    }


def _callback_detached(self: Any, fn: Any) -> None:
    # Runs in its turn, but what comes next does not wait for it.
    self._inner.add_callback(lambda: threading.Timer(0.005, fn).start())


class _ShortCopies(WrappedMemcpy):  # type: ignore[misc]
    """Every second copy writes one byte less."""

    def copy_async(self, dst: Any, src: Any, stream: Any = None) -> None:
        self.count = self.__dict__.get("count", 0) + 1
        if self.count % 2 == 0 and getattr(dst, "dim", lambda: 0)() == 1 and len(dst) > 1:
            dst, src = dst[:-1], src[:-1]
        self.inner.copy_async(dst, src, raw(stream))


class _CopyOnDefault(WrappedMemcpy):  # type: ignore[misc]
    """Copies go to the current stream, whatever stream was named."""

    def copy_async(self, dst: Any, src: Any, stream: Any = None) -> None:
        self.inner.copy_async(dst, src)


class _StaleInfo(WrappedMemcpy):  # type: ignore[misc]
    """Memory information is read once."""

    def memory_info(self) -> Any:
        if "known" not in self.__dict__:
            self.known = self.inner.memory_info()
        return self.known


class _MemoryInKiB(WrappedMemcpy):  # type: ignore[misc]
    """Memory information in KiB."""

    def memory_info(self) -> Any:
        info = self.inner.memory_info()
        return accel.MemoryInfo(info.free >> 10, info.total >> 10)


class _BlocksAtOnce(WrappedKV):  # type: ignore[misc]
    """Block copies do not wait for their stream."""

    def copy_blocks(self, cache: Any, block_mapping: Any, *, stream: Any = None) -> None:
        self.inner.copy_blocks(cache, block_mapping)


class _FirstLayerOnly(WrappedKV):  # type: ignore[misc]
    """Block copies leave out all layers but the first."""

    def copy_blocks(self, cache: Any, block_mapping: Any, *, stream: Any = None) -> None:
        self.inner.copy_blocks(cache.select_layers(0), block_mapping, stream=raw(stream))


DEFECTS = (
    Defect(
        "staging-waits-ignored",
        (
            "L1-staging::staging_overwritten_source[ring]",
            "L1-staging::staging_back_in_order[ring]",
            "L1-copy::copy_stream_waits_for_the_reader",
            "L1-copy::copy_stream_is_waited_for",
            "L1-copy::copy_stream_after_an_error",
            "L1-copy::copy_stream_nested",
        ),
        streams=_streams(wait_event=_nothing),
    ),
    Defect(
        "staging-event-true",
        ("L1-staging::staging_overwritten_source[*]", "L2-kv::pool_release_after[*]"),
        **_events(query=lambda e: True),
    ),
    Defect(
        "staging-event-no-wait",
        ("L1-staging::staging_wait_blocks[chosen]", "L1-staging::staging_wait_blocks[ring]"),
        **_events(synchronize=_nothing),
    ),
    Defect(
        "staging-callback-detached",
        ("L1-staging::staging_sizes[*ring*]", "L4-staging::staging_random[ring]"),
        streams=_streams(add_callback=_callback_detached),
    ),
    Defect(
        "staging-short-copies",
        ("L1-staging::staging_sizes[*]", "L1-staging::staging_overwritten_source[*]"),
        memcpy=_ShortCopies,
    ),
    Defect(
        "staging-stream-ignored",
        (
            "L1-staging::staging_does_not_block[chosen]",
            "L1-staging::staging_overwritten_source[ring]",
        ),
        memcpy=_CopyOnDefault,
    ),
    Defect("memory-info-stale", ("L1-memcpy::memory_info_follows",), memcpy=_StaleInfo),
    Defect("memory-info-kib", ("L1-memcpy::memory_info_bounds",), memcpy=_MemoryInKiB),
    Defect("pool-copies-at-once", ("L2-kv::pool_copy_under_way",), kv=_BlocksAtOnce),
    Defect("pool-first-layer", ("L2-kv::pool_copy_on_write[*]",), kv=_FirstLayerOnly),
)
