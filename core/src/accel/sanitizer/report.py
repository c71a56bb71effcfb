"""What the sanitizer says about a missing wait."""

from __future__ import annotations

from dataclasses import dataclass

from .access import Access
from .sites import Site

__all__ = ["Race", "RaceSide", "race"]


@dataclass(frozen=True)
class RaceSide:
    """One of the two accesses."""

    site: Site  #: the line of the program that made the call
    call: str  #: ``memcpy.copy_async``, ``kv.transfer``, ``torch.mul_``, ``pinned.free``
    argument: str  #: of the call: ``dst``, ``srcs[3]``
    operand: str  #: what was given: ``float32 [4, 128]``, ``64 bytes at 0x7f00``, a cache
    writes: bool
    where: str  #: the stream or the host thread

    def __str__(self) -> str:
        verb = "writes" if self.writes else "reads"
        operand = f" {self.argument}, {self.operand}," if self.argument else ""
        return f"{self.call} {verb}{operand} on {self.where}, at {self.site}"


@dataclass(frozen=True)
class Race:
    """Two accesses to the same bytes, at least one a write, that nothing orders."""

    first: RaceSide  #: the one that was called first
    second: RaceSide
    device: str
    lo: int  #: the first common address
    hi: int  #: behind the last
    slot: int | None  #: of the cache, where one is involved
    fix: str  #: which wait to add, and where

    @property
    def kind(self) -> str:
        """``write-write``, ``read-write`` or ``write-read``, in the order of the calls."""
        return "-".join("write" if s.writes else "read" for s in (self.first, self.second))

    def __str__(self) -> str:
        place = f"{self.hi - self.lo} bytes, {self.lo:#x} to {self.hi:#x} on {self.device}"
        if self.slot is not None:
            place += f" (slot {self.slot})"
        return (
            f"{self.kind} race on {place}:\n  {self.first}\n  {self.second}\n"
            f"  and nothing orders the two.\n  Fix: {self.fix}"
        )


def race(a: Access, b: Access, device: str, at: tuple[int, int], slot: int | None) -> Race:
    """The report of two accesses, ``a`` called first."""
    if b.order < a.order:
        a, b = b, a  # a callback was heard of late, but was in the queue
    return Race(_side(a), _side(b), device, *at, slot, _fix(a, b))


def _side(access: Access) -> RaceSide:
    return RaceSide(
        access.site, access.call, access.argument, access.what, access.write, access.name
    )


def _fix(a: Access, b: Access) -> str:
    first, second = f"{a.site.file}:{a.site.line}", f"{b.site.file}:{b.site.line}"
    if b.call == "pinned.free" or b.call == "pinned.allocate":
        return (
            f"before {second} name the stream that still uses the buffer,"
            f" `backend.pinned.record_stream(buffer, stream)` with {a.name}, or synchronise it;"
            " the pool does not know of accesses by raw addresses"
        )
    if a.on_host and b.on_host:
        return (
            f"let {b.name} wait for {a.name} between {first} and {second} (join it, or hand over"
            " through a queue, a condition or an event of the threading module)"
        )
    if b.on_host:
        return (
            f"before {second} wait on the host until {a.name} is done: `stream.synchronize()`, or"
            f" `event.synchronize()` with an event recorded there after {first}"
        )
    if a.on_host:
        return (
            f"{b.name} got its work at {second} from another thread: have that thread wait for"
            f" {a.name}, after {first}, before it submits"
        )
    return (
        f"record an event on {a.name} after {first}, and before {second} have {b.name} wait for"
        f" it: `second.wait_event(first.record_event())`, or `second.wait_stream(first)`"
    )
