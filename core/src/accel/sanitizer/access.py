"""One read or write: who, when, where in the program, and which bytes."""

from __future__ import annotations

from typing import NamedTuple

from .clocks import Clock
from .extents import Box
from .sites import Site

__all__ = ["Access", "unordered"]


class Access:
    """A read or a write of some bytes."""

    __slots__ = (
        "argument", "at_call", "box", "call", "clock", "late", "name", "on_host", "order", "raw",
        "site", "stood_in", "tick", "timeline", "what", "write",
    )  # fmt: skip

    def __init__(
        self,
        when: When,
        write: bool,
        argument: str,
        what: str,
        box: Box | None,
        raw: bool = False,
    ) -> None:
        (
            self.timeline, self.tick, self.clock, self.name, self.on_host, self.late,
            self.stood_in, self.at_call, self.site, self.call, self.order,
        ) = when  # fmt: skip
        self.write = write
        self.argument = argument  #: of the call: ``dst``, ``srcs[3]``
        self.what = what  #: ``float32 [4, 128]``, ``4096 bytes``, ``KVCache(...)``
        self.box = box  #: the bytes; None for slots of a cache
        self.raw = raw  #: by an address that the pinned pool may not know of


class When(NamedTuple):
    """The place of a call in the order of things; shared by all its accesses."""

    timeline: int
    tick: int
    clock: Clock
    name: str  #: of the timeline, for people
    on_host: bool
    late: bool  #: heard of after work that comes later (a callback)
    stood_in: int  #: the host thread that ran a stream's torch operation itself; 0 is none
    at_call: bool  #: an operand in host memory that is read before the call returns
    site: Site
    call: str
    order: int  #: counts the calls


def unordered(a: Access, b: Access) -> bool:
    """Whether neither happens before the other."""
    return not (
        a.timeline == b.timeline
        or b.clock.get(a.timeline, 0) >= a.tick
        or a.clock.get(b.timeline, 0) >= b.tick
        # Index tensors made inside `use(s)` on a CPU: the thread made them, for itself to read.
        or (b.at_call and a.stood_in == b.timeline)
    )
