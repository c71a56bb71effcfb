"""Where messages leave from and arrive: a call's tensors as contiguous host memory.

On the CPU that is the tensor itself when it is contiguous. A device's tensors pass through pinned
memory of the backend: copies to the host are queued on the caller's stream when the call is made,
copies back when the messages are there, and events order both. The caller's stream never blocks
the host except where the messages need the bytes.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch

__all__ = ["Operands", "PinnedStaging", "PlainMemory", "Stage"]


class Stage(Protocol):
    """The host side of one call. Use in the order of the methods."""

    def load(self, tensor: torch.Tensor) -> torch.Tensor:
        """Contiguous host memory that will hold ``tensor``'s contents after :meth:`ready`."""

    def blank(self, tensor: torch.Tensor) -> torch.Tensor:
        """Contiguous host memory to be written, and copied to ``tensor`` by :meth:`store`."""

    def update(self, tensor: torch.Tensor) -> torch.Tensor:
        """:meth:`load` and :meth:`blank` in one: for calls that work in place."""

    def mark(self) -> None:
        """After the last load, on the calling thread: what was queued so far comes first."""

    def ready(self) -> None:
        """Block until what was loaded is there, and what uses the outputs is done with them."""

    def store(self) -> None:
        """Queue the results' way back; any thread may call it."""

    def arrive(self) -> None:
        """Order the calling thread's current stream after :meth:`store`."""


class Operands(Protocol):
    """Makes stages."""

    def stage(self) -> Stage: ...

    def close(self) -> None: ...


def _is_plain(tensor: torch.Tensor) -> bool:
    return tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg()


class _PlainStage:
    def __init__(self) -> None:
        self._back: list[tuple[torch.Tensor, torch.Tensor]] = []

    def load(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor if _is_plain(tensor) else tensor.resolve_conj().resolve_neg().contiguous()

    def blank(self, tensor: torch.Tensor) -> torch.Tensor:
        if _is_plain(tensor):
            return tensor
        host = torch.empty(tensor.shape, dtype=tensor.dtype)
        self._back.append((tensor, host))
        return host

    def update(self, tensor: torch.Tensor) -> torch.Tensor:
        host = self.load(tensor)
        if host is not tensor:
            self._back.append((tensor, host))
        return host

    def mark(self) -> None:
        """Nothing was queued."""

    def ready(self) -> None:
        """Nothing was queued."""

    def store(self) -> None:
        for tensor, host in self._back:
            tensor.copy_(host)
        self._back.clear()

    def arrive(self) -> None:
        """:meth:`store` returned when the bytes were there."""


class PlainMemory:
    """CPU tensors, used where they lie."""

    def stage(self) -> Stage:
        return _PlainStage()

    def close(self) -> None:
        """Holds nothing."""


class PinnedStaging:
    """Device tensors, through ``backend.pinned`` and ``backend.memcpy``."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._stream: Any = None

    def side_stream(self) -> Any:
        """The stream of copies back to the device."""
        if self._stream is None:
            self._stream = self._backend.streams.create()
        return self._stream

    def stage(self) -> Stage:
        return _PinnedStage(self._backend, self.side_stream())

    def close(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()
            self._stream = None


class _PinnedStage:
    def __init__(self, backend: Any, side_stream: Any) -> None:
        self._backend = backend
        self._side = side_stream
        self._caller = backend.streams.current()
        self._back: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._called = backend.events.create()
        self._stored: Any = None

    def _pinned(self, tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.numel():
            return torch.empty(tensor.shape, dtype=tensor.dtype)
        pinned: torch.Tensor = self._backend.pinned.empty(tuple(tensor.shape), tensor.dtype)
        return pinned

    def load(self, tensor: torch.Tensor) -> torch.Tensor:
        host = self._pinned(tensor)
        if tensor.is_conj() or tensor.is_neg():
            tensor = tensor.resolve_conj().resolve_neg()
        self._backend.memcpy.copy_async(host, tensor, self._caller)
        return host

    def blank(self, tensor: torch.Tensor) -> torch.Tensor:
        host = self._pinned(tensor)
        self._back.append((tensor, host))
        return host

    def update(self, tensor: torch.Tensor) -> torch.Tensor:
        host = self.load(tensor)
        self._back.append((tensor, host))
        return host

    def mark(self) -> None:
        self._called.record(self._caller)

    def ready(self) -> None:
        self._called.synchronize()

    def store(self) -> None:
        for tensor, host in self._back:
            self._backend.memcpy.copy_async(tensor, host, self._side)
        self._back.clear()  # the copies keep their operands; the pool gets its memory back soon
        self._stored = self._backend.events.create()
        self._stored.record(self._side)

    def arrive(self) -> None:
        if self._stored is not None:
            self._backend.streams.current().wait_event(self._stored)
