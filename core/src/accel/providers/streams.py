"""Streams: queues of work that run in order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ..capabilities import Capability
from .base import Provider

if TYPE_CHECKING:
    from types import TracebackType

    import torch

    from .events import Event

__all__ = ["Graph", "Stream", "Streams"]


class Stream(Protocol):
    """A first-in, first-out queue of work on one device.

    Work given to one stream runs in the order of the calls. Work on two streams is unordered but
    for events. Every method returns at once unless it says otherwise.

    ``with stream:`` is ``with backend.streams.use(stream):``.
    """

    @property
    def device(self) -> torch.device:
        """The device the stream runs on."""

    @property
    def priority(self) -> int:
        """As created, clamped to ``Streams.priority_range()``; a lower number goes first."""

    @property
    def handle(self) -> int:
        """The runtime's own handle (``cudaStream_t``, ``aclrtStream``, ...) as an integer."""

    def query(self) -> bool:
        """True exactly when all work given so far has completed, its effects visible."""

    def synchronize(self) -> None:
        """Block until all work given so far has completed.

        Raises:
            AsyncError: work on this stream failed since the last synchronisation; the cause is
                attached, the stream stays usable.
        """

    def wait_event(self, event: Event) -> None:
        """Later work on this stream waits for what ``event`` recorded *before this call*.

        Returns at once and does nothing when the event was never recorded; recording it again
        later does not change this wait.
        """

    def wait_stream(self, stream: Stream) -> None:
        """Later work on this stream waits for all work given to ``stream`` so far."""

    def record_event(self, event: Event | None = None) -> Event:
        """Record ``event`` (a new one without timing if None) here and return it."""

    def add_callback(self, fn: Callable[[], object]) -> None:
        """Call ``fn()`` on a host thread when all earlier work is done; later work waits for it.

        ``fn`` must not submit device work nor synchronise. An exception it raises is kept and
        raised, as the cause of an AsyncError, by the stream's next synchronisation.
        """

    def as_torch(self) -> Any:
        """This stream as the framework's own object (``torch.cuda.Stream``, ...).

        Raises:
            CapabilityError: the device has no such object (STREAM_TORCH).
        """

    def __enter__(self) -> Any: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Graph(Protocol):
    """A stream's work, captured by :meth:`Streams.capture`; usable after its block.

    It holds the operands of the captured calls, and every replay works on the same memory: what is
    in it when the replay runs, not when it was captured. Slot lists and other arguments in host
    memory were read at the capture, and are part of it.
    """

    @property
    def stream(self) -> Stream:
        """The stream that was captured."""

    @property
    def nodes(self) -> int:
        """How many operations it holds."""

    def replay(self, stream: Stream | None = None) -> None:
        """Run the captured work on ``stream`` (the current stream if None), after its earlier work.

        Replays of one graph run one after the other, whatever streams they are given to.

        Raises:
            StateError: the capture has not ended, or it failed.
        """


class Streams(Provider):
    """Creates, adopts and selects streams. Capabilities: ``STREAM*``."""

    area: ClassVar[str] = "streams"

    def create(self, priority: int = 0) -> Stream:
        """A new stream.

        Args:
            priority: 0 is normal, lower goes first (as torch has it); values outside
                :meth:`priority_range` are clamped.
        """
        raise self.unsupported(Capability.STREAMS)

    def priority_range(self) -> tuple[int, int]:
        """``(least, greatest)`` as CUDA has it: ``(0, -5)`` means 0 is normal and -5 goes first.

        ``(0, 0)`` where priorities are not honoured.
        """
        return (0, 0)

    def default(self) -> Stream:
        """The device's default stream: the one that torch uses when nothing else is selected."""
        raise self.unsupported(Capability.STREAMS)

    def current(self) -> Stream:
        """The calling thread's current stream: where calls with ``stream=None`` go."""
        raise self.unsupported(Capability.STREAMS)

    def use(self, stream: Stream) -> AbstractContextManager[Stream]:
        """``with streams.use(s):`` makes ``s`` current for this thread, for accel and for torch.

        Inside, eager torch operations and calls with ``stream=None`` run on ``s`` in program
        order. May be nested.
        """
        raise self.unsupported(Capability.STREAMS)

    def from_handle(self, handle: int) -> Stream:
        """Adopt a raw handle made by the framework or another library; not destroyed with ours.

        Raises:
            ArgumentError: not a handle that can be used on this device.
        """
        raise self.unsupported(Capability.STREAM_HANDLE)

    def from_torch(self, stream: Any) -> Stream:
        """Adopt a torch stream object; both names then mean the same queue."""
        raise self.unsupported(Capability.STREAM_TORCH)

    def capture(self, stream: Stream) -> AbstractContextManager[Graph]:
        """``with streams.capture(s) as graph:`` records what ``s`` is given.

        Nothing runs at once. Inside, ``s`` is the current stream. Any calls of the contract that
        give work to ``s``, to streams that wait for it, and to torch on these, become part of the
        graph, provided that ``s`` waits for those streams again before the block ends. Calls that
        make the host wait or ask (synchronize, query, blocking copies, copies of pageable memory)
        are refused. An exception that leaves the block ends the capture and throws it away.

        Streams of a backend that has this also have ``capturing``: true while what they are given
        goes into a graph, of accel's or of the framework's own making.

        Args:
            stream: a created stream; the default stream cannot be captured.

        Raises:
            StateError: a call inside cannot be captured, or a stream was not waited for.
        """
        raise self.unsupported(Capability.STREAM_GRAPHS)

    def synchronize(self) -> None:
        """Block until every stream of the device that accel knows of is idle."""
        raise self.unsupported(Capability.STREAMS)
