"""The order of everything so far: timelines of streams and threads, and the memory they touch."""

from __future__ import annotations

import _thread
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..capabilities import Capability
from ..interpose.interposition import Interposition
from ..providers import MemRef
from . import torch_mode
from .access import Access, When
from .allocations import Pool
from .clocks import Snapshot, Timeline, View
from .deferred import Deferred, Suspicion
from .extents import Box, tensor_box
from .memory import Memory
from .sites import Skipped

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from ..kv import KVCache

__all__ = ["Recorder"]

OnRace = Callable[[Suspicion], None]


#: Timelines after which those that are over are looked for.
_TIMELINES = 64


class _Alive:
    """Goes with its thread."""

    __slots__ = ("__weakref__",)


class _Here(threading.local):
    """What a thread is doing."""

    depth = 0  #: of calls into accel: what those call in turn is not the program's
    timeline: Timeline | None = None
    views: tuple[View, ...] = ()
    alive: _Alive | None = None


class Recorder:
    """Takes note of calls, in the order in which they are made."""

    def __init__(self, interposition: Interposition, on_race: OnRace) -> None:
        backend = interposition.backend
        self.backend = backend
        self.here = _Here()
        self.lock = _thread.RLock()  # not one that a sanitizer looks at
        self.sites = Skipped(
            *{type(getattr(backend, a)).__module__.partition(".")[0] for a in ("streams", "memcpy")}
        )
        self.pool = Pool()
        self._on_race = on_race
        self._deferred = Deferred()
        self._interposition = interposition
        self._on_cpu = backend.device.type == "cpu"
        self._numbers = 0
        self._calls = 0
        self._retire_at = _TIMELINES
        self._streams: dict[int, Timeline] = {}
        self._threads: list[tuple[Timeline, weakref.ref[_Alive]]] = []
        self._memories: dict[str, Memory] = {}
        self._current: Callable[[], Any] | None = None
        self._default = -1
        if Capability.STREAMS in backend.capabilities:
            self._current = interposition.original("streams", "current")
            self._default = int(interposition.original("streams", "default")().handle)

    # --- who -------------------------------------------------------------------------------------

    def host(self) -> Timeline:
        """The calling thread, or the callback that it runs."""
        here = self.here
        if here.views:
            return here.views[-1]
        if here.timeline is None:
            # Not by current_thread(): this may be called while the thread is being started.
            thread = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]
            with self.lock:
                here.timeline = self._timeline(_thread_name(thread), True)
                here.alive = _Alive()
                self._threads.append((here.timeline, weakref.ref(here.alive)))
        return here.timeline

    def name_thread(self) -> None:
        """The calling thread has been started: it has a name."""
        self.host().name = _thread_name(threading.current_thread())

    def stream(self, stream: Any = None) -> Timeline:
        """The timeline of a stream; of the calling thread's current one if None.

        Streams are told apart by their handles: two objects with one handle are one queue.
        """
        if stream is None and self._current is not None:
            stream = self._current()
        if stream is None:
            return self.host()
        handle = int(stream.handle)
        found = self._streams.get(handle)
        if found is None:
            name = "the default stream" if handle == self._default else f"stream {handle}"
            with self.lock:
                if self._numbers >= self._retire_at:
                    self._retire()
                found = self._streams.setdefault(handle, self._timeline(name, False))
        return found

    def streams(self) -> list[Timeline]:
        """All streams seen so far."""
        return list(self._streams.values())

    def inline(self, timeline: Timeline) -> bool:
        """Whether work on this stream is done when the call returns: the CPU's default stream."""
        return self._on_cpu and self._streams.get(self._default) is timeline

    def _timeline(self, name: str, on_host: bool) -> Timeline:
        self._numbers += 1
        return Timeline(self._numbers, name, on_host)

    def _retire(self) -> None:
        """Drop timelines whose whole past every thread knows: streams that come and go."""
        live = [t for t, ghost in self._threads if ghost() is not None]
        past = [t for t, ghost in self._threads if ghost() is None]
        past += [t for t in self._streams.values() if not self._deferred.waits_for(t)]

        def known(t: Timeline) -> bool:
            return all(h.clock.get(t.id, 0) >= t.tick for h in live)

        over = {t.id for t in past if known(t)}
        for memory in self._memories.values():
            memory.sweep()
        self._threads = [(t, g) for t, g in self._threads if t.id not in over]
        self._streams = {h: t for h, t in self._streams.items() if t.id not in over}
        for timeline in (*live, *self._streams.values()):
            if not over.isdisjoint(timeline.clock):
                timeline.clock = {t: n for t, n in timeline.clock.items() if t not in over}
        self._retire_at = self._numbers + max(_TIMELINES, len(self._streams))

    # --- when ------------------------------------------------------------------------------------

    def submit(self, stream: Any, call: str) -> When:
        """The place of work given to ``stream`` now: after all that the calling thread knows."""
        timeline, host = self.stream(stream), self.host()
        if timeline is not host:
            timeline.join(host.snapshot())
        tick = timeline.advance()
        when = self._when(timeline, tick, call)
        if self.inline(timeline):
            host.join(timeline.snapshot())
        return when

    def on_host(self, call: str, *, at_call: bool = False) -> When:
        """The place of something that the calling thread does itself."""
        host = self.host()
        return self._when(host, host.advance(), call, at_call=at_call)

    def in_torch(self, call: str, on_device: bool) -> When:
        """The place of a torch operation: on the current stream, or on the calling thread."""
        if self._on_cpu:
            if self._current is None or int(self._current().handle) == self._default:
                return self.on_host(call)
            # The thread stands in for the stream that it entered.
            host = self.host()
            return self.submit(None, call)._replace(stood_in=host.id)
        return self.submit(None, call) if on_device else self.on_host(call)

    def view(self, stream: Any) -> View:
        """The place of a callback that is given to ``stream`` now."""
        timeline, host = self.stream(stream), self.host()
        if timeline is not host:
            timeline.join(host.snapshot())
        timeline.advance()
        self._calls += 1
        view = View(timeline, self._calls, self.sites.site())
        self._deferred.begin(view)
        return view

    def _when(self, timeline: Timeline, tick: int, call: str, *, at_call: bool = False) -> When:
        self._calls += 1
        order, site = self._calls, None
        if isinstance(timeline, View):
            order, site = timeline.order, timeline.site
        return When(
            timeline.id, tick, timeline.clock, timeline.name, timeline.on_host, timeline.late, 0,
            at_call, self.sites.site(site), call, order,
        )  # fmt: skip

    def learn(self, snapshot: Snapshot | None) -> None:
        """The calling thread waited for this."""
        if snapshot is not None:
            with self.lock:
                self.host().join(snapshot)

    @contextmanager
    def callback(self, view: View) -> Iterator[None]:
        """The calling thread runs a callback of a stream."""
        here = self.here
        depth, here.depth = here.depth, 0
        here.views = (*here.views, view)
        try:
            with torch_mode.seeing(self):
                yield
        finally:
            here.views = here.views[:-1]
            here.depth = depth
            self._ended(view)

    def _ended(self, view: View) -> None:
        with self.lock:
            for timeline in self._streams.values():
                if timeline.id == view.id:
                    timeline.join(view.snapshot())
            errors: list[Exception] = []
            for suspicion in self._deferred.end(view):
                try:
                    self._on_race(suspicion)
                except Exception as error:  # asked to raise: but all of them are to be listed
                    errors.append(error)
        if errors:
            raise errors[0]

    # --- what ------------------------------------------------------------------------------------

    def memory(self, device: torch.device) -> Memory:
        """The memory of a device; pinned memory is the host's."""
        key = str(device)
        found = self._memories.get(key)
        if found is None:
            pool = self.pool if device.type == "cpu" else Pool()

            def race(a: Access, b: Access, at: tuple[int, int], slot: int | None) -> None:
                suspicion = Suspicion(a, b, key, at, slot)
                if not self._deferred.holds(suspicion):
                    self._on_race(suspicion)

            found = self._memories[key] = Memory(pool, race, self._dead)
        return found

    def tensor(
        self, when: When, tensor: torch.Tensor, write: bool, argument: str, box: Box | None = None
    ) -> None:
        """An access to a tensor, or to ``box`` of it."""
        box = tensor_box(tensor) if box is None else box
        if box is None:
            return
        memory = self.memory(tensor.device)
        memory.owners.observe(tensor)
        what = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        memory.touch(Access(when, write, argument, what, box))

    def operand(
        self, when: When, operand: Any, write: bool, argument: str, box: Box | None = None
    ) -> None:
        """An access to what a copy takes: a tensor or a MemRef, or ``box`` of it."""
        if not isinstance(operand, MemRef):
            self.tensor(when, operand, write, argument, box)
            return
        if operand.nbytes <= 0:
            return
        lo, hi = operand.pointer, operand.pointer + operand.nbytes
        memory = self.memory(operand.device)
        memory.owners.observe_raw(lo, hi, operand.owner)
        what = f"{operand.nbytes} bytes at {lo:#x}"
        memory.touch(Access(when, write, argument, what, box or Box(lo, hi), raw=True))

    def slots(
        self,
        when: When,
        cache: KVCache,
        slots: NDArray[np.int64],
        write: bool,
        argument: str,
        *,
        layer: int | None = None,
        plane: int | None = None,
    ) -> None:
        """An access to slots of a cache, of one layer or plane or of all."""
        if len(slots):
            what = f"KVCache {cache.layout!r}"
            access = Access(when, write, argument, what, None)
            self.memory(cache.device).touch_slots(cache, layer, plane, slots, access)

    def _dead(self, access: Access) -> bool:
        """Whether every thread knows of it: then so does whatever any of them submits."""
        alive = [t for t, ghost in self._threads if ghost() is not None]
        return all(
            t.id == access.timeline or t.clock.get(access.timeline, 0) >= access.tick for t in alive
        )


def _thread_name(thread: threading.Thread | None) -> str:
    return f"host thread {thread.name!r}" if thread else f"host thread {threading.get_ident()}"
