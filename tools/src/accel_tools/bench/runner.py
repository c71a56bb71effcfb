"""Runs workloads one after another on a site and gathers their rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from time import monotonic
from typing import Protocol, TypeVar

from .environment import available_memory
from .measure import Budget
from .rows import Row
from .site import Site
from .workload import Workload, run_workload, skipped_row

__all__ = ["run_all", "selected"]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def selected(workloads: Iterable[N], patterns: Iterable[str]) -> list[N]:
    """Those whose name contains, or as a shell pattern matches, any of ``patterns``."""
    wanted = list(patterns)
    return [
        w
        for w in workloads
        if not wanted or any(p in w.name or fnmatchcase(w.name, p) for p in wanted)
    ]


def run_all(
    workloads: Iterable[Workload],
    site: Site,
    budget: Budget,
    progress: Callable[[Workload], object] = lambda workload: None,
    within: float = math.inf,
) -> list[Row]:
    """A row for each workload. ``progress`` is called before each.

    Args:
        within: seconds; a row that would begin later is skipped, and says so.
    """
    rows = []
    end = monotonic() + within
    for workload in workloads:
        if monotonic() > end:
            text = f"the {within:g} s of --within are over"
            rows.append(skipped_row(workload, site, text))
            continue
        progress(workload)
        free = available_memory()
        # Half: the rest is for the system's own caches and whoever else is on the machine.
        rows.append(run_workload(workload, site, budget, None if free is None else free // 2))
    site.release()
    return rows
