"""The options of a run, and what every case goes through around its own code."""

from __future__ import annotations

import faulthandler
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from .case import Case, case_id, case_of

if TYPE_CHECKING:
    from accel import Backend

__all__ = [
    "END_OF_CASE",
    "RUN_OPTIONS",
    "EndOfCase",
    "RunOptions",
    "around_case",
    "excused",
    "item_case",
    "item_case_id",
    "run_options",
    "watchdog",
]


@dataclass(frozen=True)
class RunOptions:
    """What ``accel-conformance run`` was asked to do, as far as the cases are concerned."""

    backend: str
    device: str | None
    seed: int
    quick: bool
    patience: float = 1.0  #: factor on the cases' time limits


@dataclass
class EndOfCase:
    """What to do when a case's own code has returned."""

    releases: list[Callable[[], None]] = field(default_factory=list)  #: before synchronising
    checks: list[Callable[[], None]] = field(default_factory=list)  #: on the idle device
    #: Whether the case may be run once more, after it failed: asked once, and then forgotten.
    excuses: list[Callable[[], bool]] = field(default_factory=list)


END_OF_CASE = pytest.StashKey[EndOfCase]()
RUN_OPTIONS = pytest.StashKey[RunOptions]()


def run_options(config: pytest.Config) -> RunOptions:
    """The options that the plugin understood from the command line."""
    return config.stash[RUN_OPTIONS]


def item_case(item: pytest.Item) -> Case:
    """The ``@case`` of a collected item.

    Raises:
        pytest.UsageError: it has none.
    """
    found = case_of(getattr(item, "function", None))
    if found is None:
        raise pytest.UsageError(f"{item.nodeid} has no @case(level=..., needs=[...])")
    return found


def item_case_id(item: pytest.Item) -> str:
    """The case id of a collected item."""
    return case_id(item_case(item).level, item.path, item.name)


@contextmanager
def around_case(item: pytest.Item) -> Iterator[None]:
    """Run a case's code, then leave the device idle and look at the guard bands.

    It is part of the case, not of its tear-down: what is found here fails the case, and counts
    for an expected failure as well.
    """
    end = item.stash[END_OF_CASE]
    backend: Backend | None = getattr(item, "funcargs", {}).get("backend")
    try:
        yield
    except BaseException as error:
        _settle_after_failure(end, backend, error)
        raise
    _settle(end, backend)
    for check in end.checks:
        check()


def excused(item: pytest.Item) -> bool:
    """Whether a case that failed is run once more: a gate expired, on a device of its own memory.

    Loading a kernel may wait for all of a device's work, and happens when a process first uses it:
    a call that does so behind a closed gate returns only when the gate lets go. The second time
    everything is loaded, and there is no excuse.
    """
    end = item.stash[END_OF_CASE]
    backend: Backend | None = getattr(item, "funcargs", {}).get("backend")
    if backend is None or backend.device.type == "cpu":
        return False
    return any(excuse() for excuse in end.excuses)


def _settle(end: EndOfCase, backend: Backend | None) -> None:
    from accel import Capability

    for release in end.releases:
        release()
    if backend is not None and Capability.STREAMS in backend.capabilities:
        backend.streams.synchronize()


def _settle_after_failure(end: EndOfCase, backend: Backend | None, failure: BaseException) -> None:
    try:
        _settle(end, backend)
    except Exception as error:
        # The case has failed already; this one must not hide why.
        failure.__dict__.setdefault("__notes__", []).append(
            f"synchronising afterwards raised {type(error).__name__}: {error}"
        )


@contextmanager
def watchdog(seconds: float, descriptor: int) -> Iterator[None]:
    """End the process if the case takes longer; every thread's traceback goes to ``descriptor``.

    A native call that never returns can be stopped in no other way. Under xdist the worker is
    replaced and the case counts as failed.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=descriptor)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
