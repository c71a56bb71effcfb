"""What makes a test function a conformance case: its level and the capabilities it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import TypeVar

import pytest

from accel import Capability

__all__ = ["LEVELS", "Case", "case", "case_id", "case_of", "needs"]

F = TypeVar("F", bound=Callable[..., object])

#: What each level is about.
LEVELS: dict[int, str] = {
    0: "discovery and life cycle",
    1: "streams, events, pinned memory, memcpy",
    2: "KV cache",
    3: "collectives",
    4: "stress",
}

_ATTRIBUTE = "__accel_case__"


@dataclass(frozen=True)
class Case:
    """What ``@case`` says about one test function."""

    level: int
    needs: tuple[Capability, ...]  #: without one of them the case is skipped
    seconds: float  #: after which a hang is assumed and the worker is ended
    summary: str  #: first line of the docstring
    asynchronous: bool = False  #: means nothing where every call waits for its work


def case(
    *,
    level: int,
    needs: Iterable[Capability] = (),
    seconds: float = 60.0,
    asynchronous: bool = False,
) -> Callable[[F], F]:
    """Mark a ``test_*`` function of ``accel_conformance.cases`` as a case.

    Args:
        level: 0 to 4, see :data:`LEVELS`.
        needs: capabilities it asks for; a backend without one of them skips it, with the name.
        seconds: its time limit on a slow machine.
        asynchronous: it tests that calls return before their work is done, so it is skipped under
            ``ACCEL_BLOCKING=1``, as are all cases that ask for ``gate``.
    """
    if level not in LEVELS:
        raise ValueError(f"level: expected one of {sorted(LEVELS)}, given {level!r}")
    wanted = tuple(Capability.parse(c) for c in needs)

    def mark(function: F) -> F:
        lines = (function.__doc__ or "").strip().splitlines()
        if not lines:
            raise ValueError(f"case {function.__name__} has no docstring to show in the list")
        setattr(function, _ATTRIBUTE, Case(level, wanted, seconds, lines[0], asynchronous))
        return function

    return mark


def needs(*capabilities: Capability) -> pytest.MarkDecorator:
    """Further capabilities that one parameter set needs: ``pytest.param(..., marks=needs(c))``."""
    return pytest.mark.accel_needs(*(Capability.parse(c) for c in capabilities))


def case_of(function: object) -> Case | None:
    """What ``@case`` said about ``function``; None when it is no case."""
    found = getattr(function, _ATTRIBUTE, None)
    return found if isinstance(found, Case) else None


def case_id(level: int, file: str | PurePath, name: str) -> str:
    """``L1-memcpy::strided[bfloat16]``: level, area, function and parameters.

    Args:
        file: the case's file, whose name starts with the area.
        name: the test's name with its parameters.
    """
    area = PurePath(file).stem.partition("_")[0]
    return f"L{level}-{area}::{name.removeprefix('test_')}"
