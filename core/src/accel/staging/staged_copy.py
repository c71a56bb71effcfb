"""StagedCopy: a copy under way between a device and the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import AsyncError

if TYPE_CHECKING:
    import torch

    from ..backend import Backend
    from ..providers import Event, Stream

__all__ = ["StagedCopy"]


class StagedCopy:
    """What :class:`accel.HostStaging` returns. Dropping it does not stop the copy."""

    def __init__(self, backend: Backend, target: torch.Tensor) -> None:
        self._backend = backend
        self._target = target
        self._error: BaseException | None = None
        #: The device's part is done, on each stream that takes part; and all of it.
        self._device_done: list[Event] = []
        self._done: list[Event] = []

    def query(self) -> bool:
        """True exactly when the bytes are there, or the copy failed. Does not wait."""
        return all(event.query() for event in self._done)

    def wait(self) -> None:
        """Block the host until the bytes are there.

        Raises:
            AsyncError: the host's part of the copy failed; the cause is attached.
        """
        for event in self._done:
            event.synchronize()
        if self._error is not None:
            raise AsyncError(
                f"the host's part of a staged copy failed: {self._error!r}; the target's contents"
                " are undefined"
            ) from self._error

    def result(self) -> torch.Tensor:
        """:meth:`wait`, and the tensor that was copied to."""
        self.wait()
        return self._target

    def fence(self, stream: Stream | None = None) -> None:
        """Later work on ``stream`` (the current one if None) waits for the device's part.

        After that a copy to the host no longer reads its source, and what a copy to the device
        writes is there. The host does not wait.
        """
        stream = self._backend.streams.current() if stream is None else stream
        for event in self._device_done:
            stream.wait_event(event)

    def _failed(self, error: BaseException) -> None:
        """Keep the first error of the host's part."""
        if self._error is None:
            self._error = error

    def _device_part(self, event: Event) -> None:
        """One more event of the device's part."""
        self._device_done.append(event)

    def _last_part(self, event: Event) -> None:
        """One more event at the end of everything."""
        self._done.append(event)
