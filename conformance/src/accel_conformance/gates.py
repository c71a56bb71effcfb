"""Hold a stream incomplete for as long as a case needs to look at it."""

from __future__ import annotations

import threading
from types import TracebackType

import torch

from accel import Backend, Capability
from accel.providers import Stream

__all__ = ["Gate", "Gates"]

#: A gate that nobody opens lets go after this long, and fails the case.
LIMIT_SECONDS = 15.0
_CHAIN_BYTES = 32 << 20
_CHAIN_LENGTH = 64


class Gate:
    """Work given to the stream after this waits until :meth:`open`.

    ``with gates(stream) as gate:`` opens it at the end whatever happens.
    """

    def __init__(self, backend: Backend, stream: Stream, limit: float = LIMIT_SECONDS) -> None:
        self.stream = stream
        self._limit = limit
        #: False where there are no host callbacks: a long chain of copies, which ends by itself.
        self.exact = Capability.STREAM_CALLBACK in backend.capabilities
        self.expired = False
        self._reached = threading.Event()
        self._opened = threading.Event()
        if self.exact:
            self._maker: int | None = threading.get_ident()
            stream.add_callback(self._hold)
            if self._maker is None:
                raise AssertionError(
                    "the stream ran a callback on the calling thread before add_callback returned:"
                    " a stream is a queue, and every method returns at once"
                )
            return
        source = torch.zeros(_CHAIN_BYTES, dtype=torch.uint8, device=backend.device)
        target = torch.empty_like(source)
        for _ in range(_CHAIN_LENGTH):
            backend.memcpy.copy_async(target, source, stream)

    def _hold(self) -> None:
        self._reached.set()
        if threading.get_ident() == self._maker:
            self._maker = None  # blocking here would block the case itself
            return
        if not self._opened.wait(self._limit):
            self.expired = True

    @property
    def is_open(self) -> bool:
        """True once :meth:`open` was called."""
        return self._opened.is_set()

    def wait_reached(self, seconds: float = 10.0) -> bool:
        """Block until the stream has arrived at the gate; False if it did not in time."""
        return self._reached.wait(seconds) if self.exact else True

    def open(self) -> None:
        """Let the stream go on. Does not wait for it."""
        self._opened.set()

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.open()


class Gates:
    """The ``gate`` fixture: ``gate(stream)`` closes one; all are opened when the case is over."""

    def __init__(self, backend: Backend, patience: float = 1.0) -> None:
        self._backend = backend
        self._limit = LIMIT_SECONDS * patience
        self._gates: list[Gate] = []

    def __call__(self, stream: Stream) -> Gate:
        """Close a gate on ``stream``, which must be a created stream, not the default one.

        Do not enter ``backend.stream(stream)`` while it is closed: entering may drain the stream.
        """
        gate = Gate(self._backend, stream, self._limit)
        self._gates.append(gate)
        return gate

    def expired(self) -> bool:
        """Whether a gate has let go by itself; forgets all of them, which are open by then."""
        self.open_all()
        gates, self._gates = self._gates, []
        return any(gate.expired for gate in gates)

    def open_all(self) -> None:
        """Open every gate."""
        for gate in self._gates:
            gate.open()

    def check(self) -> None:
        """Fail if a gate had to let go by itself."""
        expired = sum(gate.expired for gate in self._gates)
        if expired:
            raise AssertionError(
                f"{expired} gates were not opened within {self._limit:.1f} s: a call that should"
                " have returned at once blocked on the held stream"
            )
