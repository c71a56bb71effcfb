"""Races that a callback under way may still rule out.

Work queued behind a callback cannot have begun. If the callback first waits for something that the
host does after the other access (a gate that is opened, a queue that is filled), the two are in
order after all, and that is known only when the callback ends.
"""

from __future__ import annotations

from typing import NamedTuple

from .access import Access
from .clocks import Timeline, View

__all__ = ["Deferred", "Suspicion"]


class Suspicion(NamedTuple):
    """Two accesses that seem to race."""

    a: Access
    b: Access
    device: str
    at: tuple[int, int]
    slot: int | None


class Deferred:
    """Callbacks that have not ended, and what is suspected of work behind them."""

    def __init__(self) -> None:
        self._open: list[View] = []
        self._suspicions: list[tuple[Suspicion, list[View]]] = []

    def begin(self, view: View) -> None:
        """A callback was given to a stream."""
        self._open.append(view)

    def waits_for(self, timeline: Timeline) -> bool:
        """Whether a callback on this stream has not ended."""
        return any(v.id == timeline.id for v in self._open)

    def holds(self, suspicion: Suspicion) -> bool:
        """Whether the verdict has to wait; it is kept until then."""
        views = [v for v in self._open if _behind(suspicion.a, v) or _behind(suspicion.b, v)]
        if views:
            self._suspicions.append((suspicion, views))
        return bool(views)

    def end(self, view: View) -> list[Suspicion]:
        """A callback has ended: the suspicions that are races."""
        if view in self._open:
            self._open.remove(view)
        kept: list[tuple[Suspicion, list[View]]] = []
        races: list[Suspicion] = []
        for suspicion, views in self._suspicions:
            if view not in views:
                kept.append((suspicion, views))
                continue
            first, last = suspicion.a, suspicion.b
            if not _behind(last, view):
                first, last = last, first
            if view.clock.get(first.timeline, 0) >= first.tick:
                continue  # in order: what the callback waited for came after it
            views.remove(view)
            if views:
                kept.append((suspicion, views))
            else:
                races.append(suspicion)
        self._suspicions = kept
        return races


def _behind(access: Access, view: View) -> bool:
    """Whether an access waits for the end of a callback."""
    if access.timeline == view.id:
        return access.tick > view.tick
    return access.clock.get(view.id, 0) >= view.tick
