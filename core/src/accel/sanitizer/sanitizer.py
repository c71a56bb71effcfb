"""StreamSanitizer: finds the wait that is missing, on any backend, whether or not it went wrong."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import StateError, StreamRaceError, StreamRaceWarning
from ..interpose.interposition import Interposition
from . import host_threads, torch_mode
from .clocks import Snapshot
from .deferred import Suspicion
from .recorder import Recorder
from .report import Race, race
from .stand_in import StandIn

if TYPE_CHECKING:
    from types import TracebackType

    from ..backend import Backend

__all__ = ["StreamSanitizer"]


class StreamSanitizer:
    """Watches a backend's streams for accesses to the same bytes that nothing orders.

        with StreamSanitizer(backend) as sanitizer:
            step()
        for race in sanitizer.reports:
            print(race)

    Every read and write made through the contract, and torch operations of the threads it knows,
    are noted with what their stream or host thread had waited for by then. Two accesses of which
    one writes, and neither of which is ordered behind the other, are a race: it is reported once
    for each pair of lines, though the bytes may have come out right this time.

    Args:
        raising: raise StreamRaceError at the second of the two calls instead of warning
            (StreamRaceWarning). The call has been made by then.
        torch_ops: also see torch operations, by a dispatch mode.

    Attributes:
        reports: the races found so far.
    """

    def __init__(self, backend: Backend, *, raising: bool = False, torch_ops: bool = True) -> None:
        self.backend = backend
        self.raising = raising
        self.reports: list[Race] = []
        self._torch_ops = torch_ops
        self._said: set[tuple[object, ...]] = set()
        self._recorder: Recorder | None = None
        self._layer: StandIn | None = None
        self._scopes: ExitStack | None = None

    def start(self, *, within_modes: bool = False) -> StreamSanitizer:
        """Switch on until :meth:`stop`, or until the backend is closed.

        Args:
            within_modes: other torch dispatch modes of this thread may end before this does.

        Raises:
            StateError: it is on already; the backend is closed.
        """
        if self._layer is not None or self.backend.closed:
            raise StateError(
                "the sanitizer is on already" if self._layer else "the backend is closed"
            )
        interposition = Interposition.of(self.backend)
        recorder = self._recorder = Recorder(interposition, self._found)
        self._layer = StandIn(recorder, interposition)
        self._scopes = ExitStack()
        interposition.add(self._layer)
        self._scopes.callback(interposition.remove, self._layer)
        host_threads.watch(self)
        self._scopes.callback(host_threads.unwatch, self)
        note = "a StreamSanitizer is on: calls are noted, and take longer"
        if self._torch_ops:
            outside = not (within_modes and torch_mode.in_other_modes())
            torch_mode.watch(recorder, this_thread=outside)
            self._scopes.callback(torch_mode.unwatch, recorder)
            if not outside:
                note += "; torch operations of the thread that built the backend are not seen, as"
                note += " it did so inside a torch dispatch mode"
        self.backend.modes = (*self.backend.modes, note)
        self.backend._on_close.append(self.stop)
        return self

    def stop(self) -> None:
        """Switch off; the backend's methods are its own again. Twice is nothing."""
        scopes, self._scopes, self._layer = self._scopes, None, None
        if scopes is not None:
            scopes.close()
            self.backend.modes = tuple(m for m in self.backend.modes if "StreamSanitizer" not in m)
            if not self.backend.closed:  # else the list is being gone through
                self.backend._on_close.remove(self.stop)

    def __enter__(self) -> StreamSanitizer:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # --- order that it cannot see ----------------------------------------------------------------

    def publish(self) -> Snapshot:
        """What the calling thread did so far, to be handed to another with the data.

        For hand-overs that the sanitizer cannot see: a pipe, a C queue, a polled flag.
        """
        return self.released()

    def observe(self, published: Snapshot) -> None:
        """The calling thread received what another :meth:`publish`-ed: it comes after that."""
        self.acquired(published)

    def released(self) -> Snapshot:
        assert self._recorder is not None
        return self._recorder.host().snapshot()

    def acquired(self, snapshot: Snapshot) -> None:
        assert self._recorder is not None
        self._recorder.learn(snapshot)

    @contextmanager
    def in_thread(self) -> Iterator[None]:
        """Around the body of a thread."""
        assert self._recorder is not None
        self._recorder.name_thread()
        with torch_mode.seeing(self._recorder):
            yield

    # --- races -----------------------------------------------------------------------------------

    def _found(self, suspicion: Suspicion) -> None:
        a, b, device, at, slot = suspicion
        key = (a.site, b.site, a.call, b.call, a.write, b.write)
        if key in self._said:
            return
        self._said.add(key)
        found = race(a, b, device, at, slot)
        self.reports.append(found)
        if self.raising:
            raise StreamRaceError(found)
        site: Any = found.second.site
        warnings.warn_explicit(str(found), StreamRaceWarning, site.file, site.line)
