"""ACCEL_BLOCKING=1: every call that queues work returns when the work is done.

A result that is wrong with it is not a race; one that is only wrong without it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .interposition import Interposition, Method
from .members import stream_position

if TYPE_CHECKING:
    from ..backend import Backend

__all__ = ["NOTE", "Blocking", "block"]

NOTE = (
    "ACCEL_BLOCKING=1: every call that queues work returns when it is done, and raises what went"
    " wrong; asynchronous collectives and messages do not wait, their peers may not be there yet"
)


class Blocking:
    """The layer that synchronises."""

    def __init__(self, interposition: Interposition) -> None:
        self._backend = interposition
        self._current = interposition.original("streams", "current")

    def provider_method(self, area: str, name: str, inner: Method) -> Method | None:
        if area not in ("memcpy", "kv"):
            return None
        position = stream_position(getattr(self._backend.backend, area), name)
        if position is None:
            return None
        synchronize = self._synchronize

        def blocking(*args: Any, **kwargs: Any) -> Any:
            result = inner(*args, **kwargs)
            given = args[position] if 0 <= position < len(args) else kwargs.get("stream")
            synchronize(given)
            return result

        return blocking

    def object_method(self, kind: str, name: str, inner: Method) -> Method | None:
        if kind == "stream" and name == "add_callback":

            def add_callback(stream: Any, *args: Any, **kwargs: Any) -> None:
                inner(stream, *args, **kwargs)
                self._synchronize(stream)

            return add_callback
        if kind == "communicator":

            def communicate(communicator: Any, *args: Any, **kwargs: Any) -> Any:
                work = inner(communicator, *args, **kwargs)
                # What returns a Work is ended by a peer, which may first want something else of
                # this rank: waiting here would deadlock correct programs.
                if work is None:
                    self._synchronize(None)
                return work

            return communicate
        return None

    def _synchronize(self, stream: Any) -> None:
        stream = self._current() if stream is None else stream
        if getattr(stream, "capturing", False):  # nothing runs before the graph is replayed
            return
        self._backend.original_of(stream, "synchronize")()


def block(backend: Backend) -> None:
    """Make ``backend`` synchronous until it is closed; its notes say so."""
    interposition = Interposition.of(backend)
    interposition.add(Blocking(interposition))
    backend.blocking = True
    backend.modes = (*backend.modes, NOTE)
