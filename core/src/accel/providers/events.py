"""Events: points in a stream's work that others can wait for, query and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from ..capabilities import Capability
from .base import Provider

if TYPE_CHECKING:
    import torch

    from .streams import Stream

__all__ = ["Event", "Events"]


class Event(Protocol):
    """A re-recordable marker.

    Recording takes a snapshot: all work given to the stream before the call. Waits, queries and
    synchronisations refer to the newest snapshot at the moment they are called; recording again
    does not change what an earlier wait waits for.
    """

    @property
    def device(self) -> torch.device:
        """The device the event belongs to."""

    @property
    def handle(self) -> int:
        """The runtime's own handle as an integer."""

    def record(self, stream: Stream | None = None) -> None:
        """Snapshot ``stream`` (the current stream if None)."""

    def wait(self, stream: Stream | None = None) -> None:
        """``stream.wait_event(self)``, on the current stream if None."""

    def query(self) -> bool:
        """True exactly when the newest snapshot has completed, or nothing was ever recorded."""

    def synchronize(self) -> None:
        """Block the host until the newest snapshot has completed; at once if never recorded."""

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds from this event's completion to ``end``'s.

        Raises:
            StateError: either event was created without ``timing`` or was never recorded.
            NotReadyError: either has not completed.
        """

    def ipc_handle(self) -> bytes:
        """Bytes that :meth:`Events.from_ipc_handle` turns into this event in another process.

        Raises:
            StateError: created without ``interprocess``.
            CapabilityError: the device cannot (EVENT_IPC).
        """


class Events(Provider):
    """Creates events. Capabilities: ``EVENT*``."""

    area: ClassVar[str] = "events"

    def create(self, *, timing: bool = False, interprocess: bool = False) -> Event:
        """A new event, not yet recorded.

        Args:
            timing: keep the time of completion for ``elapsed_time``. An interprocess event may
                refuse it (CapabilityError) where the runtime cannot do both.
            interprocess: can be handed to another process with ``ipc_handle``.
        """
        raise self.unsupported(Capability.EVENTS)

    def from_ipc_handle(self, handle: bytes) -> Event:
        """The event of another process: can be waited for, queried and synchronised here.

        Raises:
            ArgumentError: not such a handle, or its maker is gone.
        """
        raise self.unsupported(Capability.EVENT_IPC)
