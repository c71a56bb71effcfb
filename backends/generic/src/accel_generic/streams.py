"""Streams of any device of torch: torch's own."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from accel import Capabilities, Capability, Level
from accel.torch_device.streams import TorchStream, TorchStreams

from .table import row_of

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["GenericStreams"]


class GenericStreams(TorchStreams):
    """FIFO order and torch's objects; raw handles where the vendor's streams have them.

    Not here, since torch has no call for it: host callbacks, priorities that are honoured, graphs,
    and streams that torch did not make.
    """

    callback_cure = "torch has no host callbacks: use a plugin of the vendor's own"

    def __init__(self, backend: Backend) -> None:
        vendor = row_of(backend.info.device_type).vendor
        space = vendor.load()
        self._with_handles = hasattr(space.Stream, vendor.handle or f"{vendor.device_type}_stream")
        self._kept: dict[int, deque[tuple[Any, tuple[Any, ...]]]] = {}
        self._keeping = threading.Lock()
        super().__init__(vendor, backend.device.index or 0)
        if not self._with_handles:
            levels = dict(self.capabilities.items())
            levels.pop(Capability.STREAM_HANDLE)
            self.capabilities = Capabilities(levels | {Capability.STREAMS: Level.NATIVE})

    def submit_handle(self, stream: Any) -> int:
        return super().submit_handle(stream) if self._with_handles else 0

    def keep(self, stream: TorchStream, *objects: Any) -> None:
        """Keep host memory alive until the stream has run what it has now."""
        with self.on_device():
            event = stream.as_torch().record_event()
        with self._keeping:
            queue = self._kept.setdefault(int(stream.as_torch().stream_id), deque())
            queue.append((event, objects))
            while queue[0][0] is not event and queue[0][0].query():
                queue.popleft()

    def passed(self, given: Any) -> None:
        """Something was waited for: let go of what that shows to be done."""
        done = []
        with self._keeping:
            for queue in self._kept.values():
                while queue and queue[0][0].query():
                    done.append(queue.popleft())
