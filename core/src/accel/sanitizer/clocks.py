"""Happens-before by vector clocks: what each stream and each host thread knows to be done.

(Mattern 1989; the epochs ``(timeline, tick)`` of single accesses are those of FastTrack, Flanagan
and Freund 2009.) A timeline is a stream or a host thread; its tick grows with every access and with
everything it learns, so knowing a tick of a timeline is knowing all that the timeline knew then.
Clocks are dicts that are replaced, never changed: a snapshot is a reference.
"""

from __future__ import annotations

from typing import NamedTuple

from .sites import Site

__all__ = ["Clock", "Snapshot", "Timeline", "View"]

Clock = dict[int, int]


class Snapshot(NamedTuple):
    """What an event recorded, a lock released, a finished thread left behind."""

    timeline: int
    tick: int
    clock: Clock
    whole: bool = False  #: the clock holds more than the timeline knew at that tick


class Timeline:
    """A stream, or a host thread."""

    __slots__ = ("clock", "id", "name", "on_host", "tick")

    late = False

    def __init__(self, number: int, name: str, on_host: bool) -> None:
        self.id = number
        self.name = name
        self.on_host = on_host
        self.tick = 1
        self.clock: Clock = {}

    def advance(self) -> int:
        """The tick of something that happens now."""
        self.tick += 1
        return self.tick

    def snapshot(self) -> Snapshot:
        """All that has happened here, and all that is known here."""
        return Snapshot(self.id, self.tick, self.clock)

    def join(self, snapshot: Snapshot) -> None:
        """What happens here from now on happens after all of ``snapshot``."""
        timeline, tick, clock, whole = snapshot
        mine = self.clock
        if timeline == self.id and (not whole or clock is mine):
            return
        if mine.get(timeline, 0) >= tick and not whole:
            return
        merged = dict(mine)
        for other, known in clock.items():
            if known > merged.get(other, 0):
                merged[other] = known
        if tick > merged.get(timeline, 0):
            merged[timeline] = tick
        self.clock = merged
        self.tick += 1


class View(Timeline):
    """A callback: it runs on a host thread, at its own place in its stream's order.

    Later work of the stream was ordered behind it when it was submitted, so what the callback does
    belongs to the stream's tick at that time, though it is heard of later.
    """

    __slots__ = ("order", "site")

    late = True

    def __init__(self, stream: Timeline, order: int, site: Site) -> None:
        super().__init__(stream.id, f"a callback on {stream.name}", False)
        self.order = order
        self.site = site  #: where it was given to the stream
        self.tick = stream.tick
        self.clock = stream.clock

    def advance(self) -> int:
        return self.tick

    def snapshot(self) -> Snapshot:
        return Snapshot(self.id, self.tick, self.clock, True)

    def join(self, snapshot: Snapshot) -> None:
        tick = self.tick
        super().join(snapshot)
        self.tick = tick
